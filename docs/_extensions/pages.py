"""Pages that are written while the site is built."""

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Writes a page if it has changed; several builds may do so at once, as they write the same."""
    if not path.is_file() or path.read_text("utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text, "utf-8")
        temporary.replace(path)
