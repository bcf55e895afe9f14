"""The slow proofs that nothing crashes, one command each; docs/reliability.md has what the last run gave.

    python -m tools.reliability asan        AddressSanitizer and UBSan: the suite, then random programs
    python -m tools.reliability tsan        ThreadSanitizer: the team of threads, and models in several threads
    python -m tools.reliability parallel    pytest-run-parallel: each test in several threads at once
    python -m tools.reliability valgrind    memcheck: a list of files of tests
    python -m tools.reliability neon        the aarch64 kernels under qemu-user: the same bits as on x86
    python -m tools.reliability avx512      the AVX-512 kernels by SIMDe on a machine with AVX2: the suite

Each works on a copy of the tree in ``--folder`` (temporary by default), where it builds, and ends with the exit code of
the first command that failed. FASTNN_FUZZ_SECONDS says how long ``asan`` runs random programs (600). Needs a virtual
environment with the extra ``test``, and: GCC; for parallel pytest-run-parallel; for valgrind, for neon
(qemu-user-static, gcc-aarch64-linux-gnu, debootstrap; run as root) and for avx512 (libsimde-dev), Debian's packages of
these names.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
FUZZ_SECONDS = os.environ.get("FASTNN_FUZZ_SECONDS", "600")
# A test that must see exact numbers of bytes, times or processes says nothing under a tool that changes them.
NOT_MEASURED = "not memory_of and not ctrl_c and not examples and not cli"
THREAD_FILES = [f"tests/test_{name}.py" for name in (
    "threads", "predicting_threads", "parts", "predictor", "network", "stacks")]
# In threads at once, a test may not change what the process has once: instruction set, number of threads, warnings.
UNSAFE = "isa threads capsys capfd monkeypatch recwarn"
PARALLEL_FILES = [f"tests/test_{name}.py" for name in (
    "activation linear conv pool norm dropout dropconnect stochastic_depth augment loss penalty optim model "
    "schedule stacks custom state gradcheck philox prelu parallel embedding trainable").split()]
VALGRIND_FILES = ["tests/test_conv_tables.py", "tests/test_pool.py", "tests/test_norm.py", "tests/test_custom.py"]
NEON_FILES = ["tests/test_same_bits.py", "tests/test_math.py", "tests/test_gemm.py"]
DEBIAN_PYTHON = "python3,libpython3-dev,libgomp1,libc6-dev"


def run(command: list[str], folder: Path, **environment: str) -> None:
    """Runs a command; ends this program if it fails."""
    print("$", *(f"{name}={value}" for name, value in environment.items()), *command, flush=True)
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder), **environment})
    if done.returncode:
        sys.exit(done.returncode)


def build(folder: Path, **environment: str) -> None:
    run([PYTHON, "setup.py", "-q", "build_ext", "--inplace"], folder, **environment)


def library(name: str) -> str:
    """The path of a library of GCC."""
    return subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()


def sanitized(folder: Path, kinds: str) -> None:
    flags = f"-fsanitize={kinds} -fno-omit-frame-pointer -g1"
    build(folder, CC="gcc", CFLAGS=f"{flags} -fno-sanitize-recover=all", LDFLAGS=flags, FASTNN_OPT="-O1")


def asan(folder: Path) -> None:
    sanitized(folder, "address,undefined")
    # Python leaves objects behind at its end on purpose, so leaks are looked for elsewhere (tests/test_memory.py).
    environment = {"LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}", "PYTHONMALLOC": "malloc",
                   "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=0",
                   "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1", "FASTNN_STORM_SECONDS": "60"}
    run([PYTHON, "-m", "pytest", "-q", "-m", "", "-k", NOT_MEASURED], folder, **environment)
    run([PYTHON, "-m", "tests.fuzz", "--seconds", FUZZ_SECONDS], folder, **environment)


def tsan(folder: Path) -> None:
    sanitized(folder, "thread")
    # Python, NumPy and OpenMP are not compiled for it: what only they do is not looked at.
    run([PYTHON, "-m", "pytest", "-q", "-m", "", "-x", *THREAD_FILES, "-k", NOT_MEASURED + " and not fork"], folder,
        LD_PRELOAD=library("libtsan.so"), TSAN_OPTIONS="ignore_noninstrumented_modules=1:halt_on_error=1:exitcode=66")


def parallel(folder: Path) -> None:
    build(folder)
    run([PYTHON, "-m", "pytest", "-q", "-m", "", "--parallel-threads=4", "-o", f"thread_unsafe_fixtures={UNSAFE}",
         *PARALLEL_FILES], folder)


def valgrind(folder: Path) -> None:
    build(folder, FASTNN_SETS="portable", FASTNN_OPT="-O1", CFLAGS="-g1")
    # Python and NumPy read what they do not own in a few known places, so only our own frames count as errors.
    log = folder / "valgrind.log"
    run(["valgrind", "--error-exitcode=0", "--leak-check=no", f"--log-file={log}", "--num-callers=8", PYTHON, "-m",
         "pytest", "-q", "-m", "", "-x", *VALGRIND_FILES], folder, PYTHONMALLOC="malloc")
    ours = [block for block in log.read_text().split("== \n") if "/fastnn/" in block and "Invalid" in block]
    print(f"{len(ours)} errors in fastnn's own code", *ours, sep="\n")
    sys.exit(bool(ours))


def neon(folder: Path) -> None:
    system = folder.parent / "arm64"
    if not system.exists():
        run(["debootstrap", "--foreign", "--arch=arm64", "--variant=minbase", f"--include={DEBIAN_PYTHON}", "bookworm",
             str(system)], folder)
        for package in sorted(system.glob("var/cache/apt/archives/*.deb")):
            run(["dpkg", "-x", str(package), str(system)], folder)
        run([PYTHON, "-m", "pip", "install", "-q", "--target", str(system / "site"), "--only-binary=:all:",
             "--python-version=3.11", "--platform=manylinux_2_28_aarch64", "--platform=manylinux2014_aarch64", "numpy",
             "pytest", "hypothesis", "mpmath"], folder)
    build(folder, CC="aarch64-linux-gnu-gcc", LDSHARED="aarch64-linux-gnu-gcc -shared", FASTNN_SETS="portable",
          _PYTHON_HOST_PLATFORM="linux-aarch64", SETUPTOOLS_EXT_SUFFIX=".cpython-311-aarch64-linux-gnu.so")
    run(["qemu-aarch64-static", "-L", str(system), "-E", f"PYTHONPATH={folder}:{system / 'site'}",
         str(system / "usr/bin/python3.11"), "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider", *NEON_FILES,
         "-k", "not behind_the_last_page"], folder)     # that one starts processes, which qemu-user cannot


def avx512(folder: Path) -> None:
    build(folder, FASTNN_SETS="emulated")
    run([PYTHON, "-m", "pytest", "-q", "-n", "auto", "-m", "", "-k", NOT_MEASURED], folder)


def main() -> None:
    commands = {each.__name__: each for each in (asan, tsan, parallel, valgrind, neon, avx512)}
    parser = argparse.ArgumentParser(prog="python -m tools.reliability", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=commands)
    parser.add_argument("--folder", type=Path, help="where to work; kept, and used again by the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        tree = (options.folder or Path(temporary)) / options.command
        shutil.copytree(ROOT, tree, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(".*", "__pycache__", "results", "build", "*.so", "dist"))
        commands[options.command](tree.resolve())


if __name__ == "__main__":
    main()
