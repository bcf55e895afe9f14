"""Who may import whom, read from the source: the house plan as a test."""

import ast
import functools
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.check import python
from tests.pairwise import every

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
READ_SOURCES = ["conftest.py", "mutants.py", "test_imports.py", "test_kernel_source.py", "test_mutants.py"]
REF = sorted((ROOT / "fastnn_ref").glob("*.py"))
SHARED = sorted((ROOT / "fastnn_ref" / "shared").glob("*.py"))
CYTHON = sorted([*(ROOT / "fastnn").glob("*.pyx"), *(ROOT / "fastnn").glob("*.pxd")])
PYTHON = sorted((ROOT / "fastnn").rglob("*.py"))
KERNELS = sorted(p for p in (ROOT / "fastnn" / "kernels").iterdir() if p.suffix in (".c", ".h", ".def"))

# What the engine may import of the reference: the shared room, random numbers and initial values.
WRITTEN_ONCE = {"shared", "philox", "init"}
# A module imports only from rooms below its own. A concept that is not named is a layer that needs no other one.
LAYERS = "layers"
REF_FLOORS = [
    {"philox"}, {"init"}, {"network"}, {"layer"}, {"custom", "norm"},
    {LAYERS},
    {"linear", "conv", "loss", "penalty", "stochastic_depth", "augment"},
    {"dropconnect", "conv_transpose", "pool", "upsample", "optimizer"},
    {"optim"},
    {"model"}, {"sequential"}, {"predictor"}, {"__init__"},
]  # fmt: skip
SHARED_FLOORS = [
    {"foreign", "words", "optional", "terminal", "atomic"}, {"checks"}, {"objects", "arrays"},
    {"shapes", "targets", "network", "optimizer", "parameter"}, {"access", "config", "safetensors"},
    {"closed", "schedule", "metrics", "class_weight"},
    {"custom", "diagnosis"}, {"callbacks"},
    {"history", "early_stopping", "state", "summary", "gradcheck", "text_noise", "mixup", "loggers", "progress",
     "data", "recorder", "copy_parameters"}, {"checkpoint", "prediction"}, {"shards"}, {"batches"},
    {"model_checkpoint"}, {"fit"}, {"lbfgs"}, {"model", "lr_finder"}, {"__init__"},
]  # fmt: skip
FAST_FLOORS = [
    {"extras", "_version", "docs", "copying"},
    {"_kernels", "closed", "conv_tables", "gil", "image_tables"}, {"config", "memory"}, {"spans"}, {"network"},
    {"layer"}, {"custom", "norm"}, {LAYERS, "loss", "penalty"},
    {"linear", "conv", "optim", "rmsnorm"}, {"dropconnect", "conv_transpose"}, {"model"}, {"sequential"},
    {"predictor"}, {"comparison"}, {"__init__"},
    {"datasets", "progress", "networks"}, {"plot", "sklearn", "torch", "onnx"}, {"lab"}, {"cli"}, {"__main__"},
]  # fmt: skip


def name_of(path):
    return f"{path.parent.name}/{path.name}"


@functools.cache
def tree(path):
    return list(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imports(path):
    """Absolute dotted names a file imports; for Cython also what it cimports."""
    if path.suffix == ".py":
        found = []
        for node in tree(path):
            if isinstance(node, ast.Import):
                found += [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(path.parent.relative_to(ROOT).parts) if node.level else ""
                for _ in range(node.level - 1):
                    base = base.rpartition(".")[0]
                module = ".".join(filter(None, [base, node.module]))
                found += [f"{module}.{a.name}" for a in node.names]
        return found
    found, text = [], path.read_text()
    for module, several, one in re.findall(r"^\s*from\s+([\w.]+)\s+c?import\s+(?:\(([^)]*)\)|([^\n(#]+))", text, re.M):
        names = [name.split(" as ")[0].strip() for name in (several or one).split(",")]
        found += [f"{'fastnn' if module.startswith('.') else ''}{module.rstrip('.')}.{name}" for name in names if name]
    for names in re.findall(r"^\s*c?import\s+([^\n#]+)", text, re.M):
        found += [name.split(" as ")[0].strip() for name in names.split(",")]
    return found


def rooms(path, package):
    """The modules of `package` that a file imports."""
    inside = [name.split(".")[1:] for name in imports(path) if name.split(".")[0] == package]
    there = {p.name.split(".")[0] for p in (ROOT / package).iterdir()}
    return {parts[0] if parts and parts[0] in there else "__init__" for parts in inside}


def floor(module, floors):
    found = [i for i, names in enumerate(floors) if module in names]
    if not found and (ROOT / "fastnn_ref" / f"{module}.py").exists():
        found = [i for i, names in enumerate(floors) if LAYERS in names]
    assert found, f"{module} stands on no floor of tests/test_imports.py: say where it belongs"
    return found[0]


def test_there_is_something_to_read():
    assert len(REF) > 8
    assert len(CYTHON) > 8
    assert len(KERNELS) > 8
    assert "fastnn_ref.shared.checks" in imports(ROOT / "fastnn" / "_kernels.pyx")
    assert any(name.startswith("numpy") for name in imports(ROOT / "fastnn_ref" / "network.py"))


@every(path=REF + SHARED)
def test_the_reference_needs_numpy_only(path):
    outside = {name.split(".")[0] for name in imports(path)} - {"fastnn_ref", "numpy"}
    assert outside <= sys.stdlib_module_names


@every(path=REF)
def test_the_reference_goes_from_simple_to_hard(path):
    own = floor(path.stem, REF_FLOORS)
    for room in rooms(path, "fastnn_ref") - {path.stem, "shared"}:
        assert floor(room, REF_FLOORS) < own, f"{path.name} imports {room}"


@every(path=SHARED)
def test_the_shared_room_stands_alone(path):
    """It imports random numbers from the reference, and no layer; inside it goes from simple to hard, too."""
    inside = [name.split(".")[1:] for name in imports(path) if name.split(".")[0] == "fastnn_ref"]
    own = floor(path.stem, SHARED_FLOORS)
    for parts in inside:
        if parts[0] != "shared":
            assert parts[0] == "philox", f"{path.name} imports {'.'.join(parts)}"
        elif parts[1:] and parts[1] != path.stem:
            assert floor(parts[1], SHARED_FLOORS) < own, f"{path.name} imports {parts[1]}"


@every(path=CYTHON + PYTHON)
def test_the_engine_takes_little_from_the_reference(path):
    if path.relative_to(ROOT / "fastnn").parts[0] in ("cli", "plot", "lab"):  # they show both
        return
    assert rooms(path, "fastnn_ref") <= WRITTEN_ONCE


@every(path=CYTHON + PYTHON)
def test_the_engine_goes_from_kernels_to_the_command_line(path):
    own = path.relative_to(ROOT / "fastnn").parts[0].split(".")[0]
    for room in rooms(path, "fastnn") - {own}:
        assert floor(room, FAST_FLOORS) < floor(own, FAST_FLOORS) or own == "__init__", f"{path.name} imports {room}"


@every(path=CYTHON)
def test_the_engine_core_needs_numpy_only(path):
    outside = {name.split(".")[0] for name in imports(path)} - {
        "fastnn",
        "fastnn_ref",
        "numpy",
        "cython",
        "libc",
        "cpython",
    }
    assert outside <= sys.stdlib_module_names


@every(path=CYTHON)
def test_only_kernels_links_c(path):
    """Another extension that links a kernel would carry its own copy of the code and of the dispatch."""
    if path.stem != "_kernels":
        assert not re.search(r'cdef\s+extern\s+from\s+"(?!Python\.h)', path.read_text())


@every(path=KERNELS)
def test_a_kernel_knows_no_python(path):
    included = re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)', path.read_text(), re.M)
    assert not [name for name in included if name.lower().startswith(("python", "numpy"))]
    own = {p.name for p in KERNELS}
    system = set("stdint stddef stdlib string math float limits time stdbool stdatomic".split())
    system |= set("omp immintrin arm_neon cpuid intrin pthread sched signal unistd windows".split())
    assert {Path(name).name for name in included} <= own | {f"{name}.h" for name in system}


def test_every_concept_has_its_twin():
    concepts = {p.stem for p in REF} - WRITTEN_ONCE - {"__init__", "optimizer", "winograd"}     # in optim.pyx, conv.pyx
    assert concepts <= {p.stem for p in CYTHON if p.suffix == ".pyx"}


@every(path=[p for p in REF + SHARED + PYTHON if p.parent.name != "cli" and p.name != "__main__.py"])
def test_library_code_does_not_print(path):
    calls = [
        n.func.id
        for n in tree(path)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    ]
    # show_config's one purpose, and what verbose=True asks for in scikit-learn's words
    assert "print" not in calls or name_of(path) in ("fastnn/config.py", "sklearn/training.py")


def test_importing_the_engine_stays_light():
    """`import fastnn` brings NumPy and nothing else from outside, no layer, no training loop, and none of the modules
    that take longer than all of its own."""
    found = json.loads(python("import json, sys, numpy; before = {*sys.modules}; import fastnn; "
                              "print(json.dumps([*({*sys.modules} - before)]))"))
    outside = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {"fastnn", "fastnn_ref", "numpy"}
    assert [name for name in outside if "cython" not in name] == []
    assert {name for name in found if name.startswith("fastnn_ref.")} == {
        "fastnn_ref.shared", *(f"fastnn_ref.shared.{each}" for each in ("checks", "words"))}
    assert not {"pathlib", "numpy.typing", "inspect", "copy"}.intersection(found)


@pytest.mark.slow
@pytest.mark.parametrize("package", ["fastnn", "fastnn_ref"])
def test_a_name_brings_what_it_needs(package):
    """Whatever the order of first uses: each name alone, in an interpreter that has seen no other one."""
    failed = python(f"""
        import os, numpy, {package} as nn
        import fastnn_ref
        homes = dict((home, name) for name, home in fastnn_ref.HOMES.items())      # one name of each module
        for name in homes.values():
            if os.fork() == 0:
                thing = getattr(nn, name)
                os._exit(not (thing is getattr(nn, name) and thing.__doc__))
            if os.wait()[1]:
                print(name)
    """)
    assert failed.split() == []


def test_first_uses_in_threads():
    """Threads that use names first at the same time find the same objects, with their docstrings."""
    found = python("""
        import random, sys, threading, fastnn as nn
        sys.setswitchinterval(1e-6)
        start, found = threading.Barrier(8), [{} for _ in range(8)]
        def use(own):
            start.wait()
            for name in random.sample(nn.__all__, len(nn.__all__)):
                own[name] = getattr(nn, name)
        threads = [threading.Thread(target=use, args=(own,)) for own in found]
        [each.start() for each in threads]
        [each.join() for each in threads]
        import fastnn_ref
        texts = {name: getattr(fastnn_ref, name, thing).__doc__.split("\\n")[0] for name, thing in found[0].items()}
        print(all(own == found[0] for own in found),
              [name for name, text in texts.items() if text not in found[0][name].__doc__])
    """)
    assert found == "True []\n"


def test_a_module_that_another_thread_imports_gets_its_docstrings_later():
    found = python("""
        import sys, types, fastnn as nn
        half = sys.modules["fastnn.linear"] = types.ModuleType("fastnn.linear")
        half.__spec__ = types.SimpleNamespace(_initializing=True)
        nn.Dropout
        del sys.modules["fastnn.linear"]
        print("y = act(x @ W + b)" in nn.Linear.__doc__)
    """)
    assert found == "True\n"


@pytest.mark.parametrize("package", ["fastnn", "fastnn_ref"])
def test_a_file_brings_what_it_names(package, tmp_path):
    """A model is loaded without the modules of other layers, and of what no model consists of."""
    found = python(f"""
        import os, sys, {package} as nn
        if os.fork() == 0:
            nn.Sequential(nn.Linear(2, 2)).save("{tmp_path}/model")
            os._exit(0)
        assert os.wait()[1] == 0
        nn.load("{tmp_path}/model")
        print({{*sys.modules}} & {{"{package}.conv", "{package}.embedding", "fastnn_ref.shared.text_noise"}})
    """)
    assert found == "set()\n"


def test_a_folder_of_sources_says_what_to_do(tmp_path):
    """`pip install .` leaves the clone as it is, and Python looks for modules in the current folder first."""
    (tmp_path / "fastnn").mkdir()
    (tmp_path / "fastnn" / "__init__.py").write_text((ROOT / "fastnn" / "__init__.py").read_text())
    # Without site, -S, as setuptools' hook, where one is installed, finds `fastnn._kernels` for any `fastnn`.
    done = subprocess.run([sys.executable, "-S", "-c", "import fastnn"], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": ""})
    assert "got a folder of sources" in done.stderr and "pip install -e ." in done.stderr


def test_an_editable_installation_is_found_beside_the_clone(tmp_path):
    """A clone called fastnn is itself a folder of that name, which must not come before the package inside."""
    pytest.importorskip("setuptools", minversion="77")
    clone, site = tmp_path / "fastnn", tmp_path / "site"
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        folder = clone.joinpath(*package.split("."))
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
    (clone / "fastnn" / "_version.py").write_text('__version__ = "1"')
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (clone / name).write_bytes((ROOT / name).read_bytes())
    code = f"from setuptools.build_meta import build_editable; build_editable({str(site)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, check=True)
    wheel, = site.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    code = f"import site; site.addsitedir({str(site)!r}); import fastnn; print(fastnn.__file__)"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": ""})
    assert done.stdout == f"{clone / 'fastnn' / '__init__.py'}\n"


def test_what_tests_read_is_beside_a_wheel():
    """noxfile.py and cibuildwheel run the tests where the sources are not; three files that read these are left out."""
    beside, = (ast.literal_eval(node.value) for node in tree(ROOT / "noxfile.py")
               if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BESIDE")
    assert PROJECT["tool"]["cibuildwheel"]["test-sources"] == beside
    for path in set((ROOT / "tests").glob("*.py")) - {ROOT / "tests" / name for name in READ_SOURCES}:
        read = re.findall(r'(?:ROOT|parent|parents\[1\]) / "([^"/]+)"', path.read_text("utf-8"))
        assert {name for name in read if (ROOT / name).exists()} <= set(beside), path
