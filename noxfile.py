#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["build>=1.2", "nox>=2025.2"]
# ///
"""Tasks in environments of their own: ``pipx run noxfile.py``, or ``pip install nox build`` and then

    nox                         the linter, types and stubs
    nox -s wheel-3.13           a wheel, tested on that Python where the sources are not; nox -s wheel: on each
    nox -s wheel-3.13 -- -x     with arguments for pytest
    nox -s docs                 the site

README has the command for the tests of a clone, and .ci/run what must hold before a change lands.
"""

import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv|virtualenv"
ROOT = Path(__file__).parent
# What the tests read; no package, so that they can only find the one that is installed.
BESIDE = ["tests", "docs", "examples", "tools", "README.md", "CHANGELOG.md", "pyproject.toml"]


@nox.session(default=True)
def lint(session: nox.Session) -> None:
    """ruff, mypy, stubtest and repo-review."""
    session.install("-e", ".[train,lab,sklearn,lint]")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("stubtest", "fastnn", "--mypy-config-file", "pyproject.toml", "--allowlist", "tools/stubtest.txt")
    session.run("repo-review", ".")


@nox.session(python=["3.11", "3.12", "3.13"], default=False)
def wheel(session: nox.Session) -> None:
    """Source distribution, wheel, empty environment; then NumPy is all that fastnn has, and at last the tests run."""
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    session.env["PYTHONPATH"] = None     # it might lead to the sources
    session.run(sys.executable, "-m", "build", "--sdist", "--outdir", str(folder), ".", external=True, silent=True)
    source, = folder.glob("*.tar.gz")
    session.run("python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(source))
    found, = folder.glob("*.whl")
    session.log(f"{found.name}: {found.stat().st_size / 1e6:.1f} MB")
    session.install(str(found))
    for name in BESIDE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    session.chdir(folder)
    session.run("python", "-c", "import fastnn; fastnn.show_config()")
    session.run("python", "-c", "import doctest, fastnn; raise SystemExit(doctest.testmod(fastnn).failed)")
    session.install(f"{found}[test]")
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """The site, in both languages."""
    session.install("-e", ".[docs]")
    session.run("python", "docs/build.py")


if __name__ == "__main__":
    nox.main()
