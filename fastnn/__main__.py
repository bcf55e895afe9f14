"""``python -m fastnn`` is the command ``fastnn``."""

import sys


def main() -> int:
    """``cli.main``; Ctrl-C while it is still imported ends in a line, too."""
    try:
        from .cli import main
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("fastnn: interrupted\n")
        return 130
    return main()


if __name__ == "__main__":
    raise SystemExit(main())
