"""Fixtures: `nn` is either package, `isa` each instruction set of this machine, `dtype` both real types."""

import gc
import importlib
import re
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from tests import check
from tests.pairwise import DTYPES, PACKAGES, instruction_sets

# These read the sources. Beside an installed package, as noxfile.py tests it, there are none.
if not (Path(__file__).parents[1] / "setup.py").exists():
    collect_ignore = ["test_imports.py", "test_kernel_source.py", "test_mutants.py"]

hypothesis.settings.register_profile("fastnn", deadline=None, max_examples=50, derandomize=True)
hypothesis.settings.load_profile("fastnn")


@pytest.fixture(scope="session", params=PACKAGES)
def nn(request):
    """Either package: the same test, the same numbers."""
    return importlib.import_module(request.param)


@pytest.fixture(scope="session")
def ref():
    return importlib.import_module("fastnn_ref")


@pytest.fixture(scope="session")
def fast():
    return importlib.import_module("fastnn")


@pytest.fixture(scope="session", params=DTYPES)
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(params=instruction_sets())
def isa(request, fast):
    """The engine runs on this instruction set while the test runs."""
    before = fast._kernels.use_isa(request.param)
    yield request.param
    fast._kernels.use_isa(before)


@pytest.fixture(params=[8, 12])
def ways(request, fast):
    """A set of the first-level cache has so many lines while the test runs."""
    before = fast._kernels.use_first_level_ways(request.param)
    yield request.param
    fast._kernels.use_first_level_ways(before)


@pytest.fixture
def threads(fast):
    """A function that sets the number of threads; the old number comes back after the test."""
    before = fast.get_num_threads()
    yield fast.set_num_threads
    fast.set_num_threads(before)


def pytest_ignore_collect(collection_path, config):
    """A file whose tests are all slow is not read where they are left out, unless it is asked for by its name."""
    if config.option.markexpr == "not slow" and collection_path.suffix == ".py":
        named = any(Path(arg.partition("::")[0]).name == collection_path.name for arg in config.args)
        return (not named and bool(
            re.search(r"^pytestmark = .*\bmark\.slow\b", collection_path.read_text("utf-8"), re.MULTILINE))) or None
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Every other field of a chessboard is slow; what is parametrised together is one of its sides."""
    for item in items:
        if item.get_closest_marker("chequered"):
            sides = dict.fromkeys(item.callspec.indices)
            for mark in item.iter_markers("parametrize"):
                names = mark.args[0].replace(" ", "").split(",") if isinstance(mark.args[0], str) else mark.args[0]
                for name in names[1:]:
                    sides.pop(name, None)
            if sum(item.callspec.indices[side] for side in sides) % 2:
                item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """The collector leaves alone what stays to the end, tests and imported packages: a collection is then quick."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser):
    parser.addoption("--worst", action="store_true", help="print the worst error of each kind")
    parser.addoption("--thorough", action="store_true", help="200 kills while a file is saved, 10 steps to resume at")


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--worst"):
        terminalreporter.section("worst error seen, in units of the table in tests/check.py")
        for name, (limit, worst) in check.seen().items():
            terminalreporter.write_line(f"{name:12} {worst:9.3g} of {limit:g}")
