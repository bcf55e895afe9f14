"""``python -m fastnn`` is the command ``fastnn``."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
