"""Builds the documentation, in English and in Russian, and checks it: ``python docs/build.py [FOLDER]``.

Needs ``pip install -e '.[docs]'``; the pages are in docs/_build/html, or in FOLDER, and need no network. Any warning of
Sphinx's is an error, such as a link that leads nowhere or a result of the lab that is stale. So is a page that would
load anything from another host, and a link of the pages themselves, such as the switch of the language, to no file.
So is a lost translation on a page that conf.py declares translated.

To translate what has changed: ``sphinx-build -b gettext docs docs/_build/gettext``, ``sphinx-intl update -p
docs/_build/gettext -d docs/locales -l ru``, then fill in docs/locales/ru/LC_MESSAGES/*.po.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

DOCS = Path(__file__).parent
LOADS = re.compile(r"""<(?:script|img|iframe|source|audio|video)\b[^>]*\bsrc=["']?(?:https?:)?//[^>]*>
                    |<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|icon|preconnect))[^>]*\bhref=["']?(?:https?:)?//[^>]*>
                    |@import\s+["']?(?:url\()?["']?(?:https?:)?//\S+
                    |url\(\s*["']?(?:https?:)?//[^)]*\)""", re.VERBOSE)


def build(language: str, folder: Path, doctrees: Path) -> subprocess.Popen[bytes]:
    """Starts Sphinx for one language."""
    return subprocess.Popen([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-t", "both",
                             "-d", str(doctrees / language), "-D", f"language={language}", str(DOCS), str(folder)])


def other_hosts(folder: Path) -> list[str]:
    """What the pages would load from elsewhere."""
    return [f"{path.relative_to(folder)}: {found}" for path in folder.rglob("*") if path.suffix in (".html", ".css")
            for found in LOADS.findall(path.read_text("utf-8"))]


def dead_links(folder: Path) -> list[str]:
    """Links of the pages to files that are not there."""
    found = [(path, href) for path in folder.rglob("*.html")
             for href in set(re.findall(r'<a\b[^>]*\bhref="([^"]+)"', path.read_text("utf-8")))]
    return [f"{path.relative_to(folder)}: {href}" for path, href in found
            if not urlsplit(href).scheme and not (path.parent / unquote(urlsplit(href).path or ".")).exists()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DOCS / "_build" / "html", help="where the pages go")
    folder = parser.parse_args().folder.resolve()
    began = time.perf_counter()
    doctrees = folder.with_name(f"{folder.name}.doctrees")
    builds = [build("en", folder, doctrees), build("ru", folder / "ru", doctrees)]
    failed = sum(each.wait() != 0 for each in builds)
    wrong = [*other_hosts(folder), *dead_links(folder)]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    if failed or wrong:
        return 1
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    count = len(list(folder.rglob("*.html")))
    print(f"{count} pages, {size / 1e6:.1f} MB, {time.perf_counter() - began:.0f} s: {folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
