"""The C and Cython sources: what a compiler does not check."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.pairwise import every

ROOT = Path(__file__).parents[1] / "fastnn"
KERNELS = sorted(path for path in (ROOT / "kernels").iterdir() if path.suffix in (".c", ".h", ".def"))
SOURCES = [*KERNELS, *sorted(ROOT.glob("*.pyx")), *sorted(ROOT.glob("*.pxd"))]


def names_in(file, pattern):
    return re.findall(pattern, (ROOT / "kernels" / file).read_text("utf-8"), re.M)


@every(path=SOURCES)
def test_lines(path):
    """At most 120 columns, no tabs, no blanks at a line's end; ruff reads Python only."""
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        assert len(line) <= 120, f"{path.name}:{number}: {len(line)} columns"
        assert line == line.rstrip(), f"{path.name}:{number} ends in a blank"
        assert "\t" not in line, f"{path.name}:{number} has a tab"


def test_lists_of_kinds(fast):
    """Python's names and numbers of activations and losses are those of the lists, in their order."""
    kernels = fast._kernels
    activations = names_in("activations.def", r'^ACTIVATION_\w+\(\w+, "(\w+)"')
    losses = names_in("losses.def", r'^LOSS\(\w+, "(\w+)"')
    assert list(kernels.ACTIVATIONS.items()) == [(name, number) for number, name in enumerate(activations)]
    assert list(kernels.LOSSES.items()) == [(name, number) for number, name in enumerate(losses)]
    assert len(activations) >= 12
    assert len(losses) >= 4


def test_a_kernel_of_its_name_in_both_dtypes():
    """Every row of the table is a function of some file, and every file is included."""
    names = names_in("table.def", r"^KERNEL\(\w+, (\w+),")
    assert len(names) == len(set(names)) > 30
    defined = "".join(path.read_text("utf-8") for path in KERNELS)
    for name in names:
        assert re.search(rf"^static \w+ F\({name}\)\(", defined, re.M), name
    included = names_in("kernels.inc.c", r'^#include "(.+\.inc\.c)"')
    assert {*included, "kernels.inc.c", "table.inc.c"} == {path.name for path in KERNELS if ".inc" in path.name}


def test_a_compiler_that_cannot_compile_them(monkeypatch):
    """setup.py says which one to take, before it compiles anything."""
    setuptools = pytest.importorskip("setuptools", reason="setuptools is missing: setup.py is NOT tested")
    build = pytest.importorskip("Cython.Build", reason="Cython is missing: setup.py is NOT tested")
    monkeypatch.chdir(ROOT.parent)
    monkeypatch.setattr(build, "cythonize", lambda extensions, **options: extensions)
    monkeypatch.setattr(setuptools, "setup", lambda **options: given.update(options))
    given = {}
    runpy.run_path("setup.py")
    command = given["cmdclass"]["build_ext"](setuptools.Distribution({"ext_modules": given["ext_modules"]}))
    command.finalize_options()
    command.compiler = SimpleNamespace(compiler_type="msvc")
    with pytest.raises(Exception, match=r"^compiler: expected GCC or Clang, got 'msvc'.*MinGW-w64 on PATH, or use WSL"):
        command.build_extensions()


QUOTE = re.compile(r"```\{literalinclude\} (\S+)\n((?::.*\n)*)```")
MARK = re.compile(r':(start-at|start-after|end-before): "?(.*?)"?\n')


def test_the_pages_quote_what_is_there():
    """A page of the documentation shows the code between two marks, or a Python function or method."""
    quotes = 0
    for page in (ROOT.parent / "docs").rglob("*.md"):
        for target, options in QUOTE.findall(page.read_text("utf-8")):
            quotes += 1
            places = [at for at in (page.parent / target, page.parent.parent / target) if at.exists()]
            assert places, (page, target)
            code, begin = places[0].read_text("utf-8"), 0
            for option, mark in MARK.findall(options):
                begin = code.find(mark, begin)
                assert begin >= 0, (page, option, mark)
            for name in re.findall(":pyobject: (.*)\n", options):
                assert all(re.search(rf"\b(class|def) {part}\b", code) for part in name.split(".")), (page, name)
    assert quotes > 30


@pytest.mark.parametrize(("isa", "lanes"), [("x86_v4", 16), ("x86_v3", 8)])
def test_the_ladder_has_the_block_sizes_of_the_product(isa, lanes):
    """The table in docs/ladder/README.md: it had a PACK_B of AVX-512 from before it was halved."""
    sizes = dict(names_in(f"isa_{isa}.c", r"^#define (MR|NV|KC|PACK_B) +\(?(\d+)"))     # PACK_B: (288 * 1024)
    mr, nv, kc, kilobytes = (int(sizes[name]) for name in ("MR", "NV", "KC", "PACK_B"))
    columns = kilobytes * 1024 // (4 * kc) // (nv * lanes) * nv * lanes
    page = (ROOT.parent / "docs" / "ladder" / "README.md").read_text("utf-8")
    row, = re.findall(rf"^\| {isa} .*$", page, re.M)
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert [*cells[:2], *cells[3:]] == [str(lanes), f"{mr} × {nv}", str(nv * lanes), str(kc), f"{kilobytes:,} KB",
                                        f"{columns:,}"]
