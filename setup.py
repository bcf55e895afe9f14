"""Builds the engine's extension modules; everything else stands in pyproject.toml.

Only ``fastnn._kernels`` links the C kernels. Each instruction set is one C file with flags of its own, and never
``-march=native``: a wheel built here runs everywhere and chooses at import. ``FASTNN_NO_OPENMP=1`` builds without
threads, as a compiler without OpenMP does by itself. For many quick builds (tests/mutants.py), ``FASTNN_SETS=portable``
leaves out the other instruction sets and ``FASTNN_OPT=-O0`` sets the level of optimisation. ``FASTNN_SETS=emulated``
makes AVX-512 run on AVX2, slowly, for tests (tools/reliability.py).
"""

import multiprocessing
import os
import platform
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

KERNELS = "fastnn/kernels/"
GENERATED = "build/cython"
SHARED = "fastnn._cython"           # Cython's own functions, which each module would have a copy of
# Cython translates modules side by side where Python starts processes by fork; others would run this file again.
PROCESSES = os.cpu_count() or 0 if multiprocessing.get_all_start_methods()[0] == "fork" else 0
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
# No fast-math: contraction, reassociation and flushing would cost the equality of bits. The two switches given
# here change no value; without them the compiler will not vectorise a loop with a square root or a select.
WARNINGS = ["-Wall", "-Wextra"]
IS_X86 = IS_X86 and os.environ.get("FASTNN_SETS") != "portable"
OPT = os.environ.get("FASTNN_OPT")
KERNEL_FLAGS = ["-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", *WARNINGS]
# GCC's -O3 makes the same vector loops and unrolls what is left over at their ends, too, which takes a third of its
# time and makes no step faster. Functions begin at a cache line: otherwise a product's speed depends on the code before
# it.
GCC_KERNELS = ["-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic", "-funswitch-loops", "-falign-functions=64"]
# The modules call kernels and Python: -O2 takes half as long again, and a step is no faster.
MODULE_FLAGS = [OPT or "-O1", "-fno-strict-aliasing", *WARNINGS]
# Python's own flags ask for debug information: four fifths of the files, and up to a third of the time to compile.
NO_DEBUG = [] if "-g" in os.environ.get("CFLAGS", "") else ["-g0"]
AVX2 = ["-mavx2", "-mfma", "-mbmi", "-mbmi2"]
IS_EMULATED = os.environ.get("FASTNN_SETS") == "emulated"
AVX512 = ["-Itools/avx512"] if IS_EMULATED else ["-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl"]
SET_FLAGS = {
    "isa_portable.c": ["-O1"] if IS_X86 and not OPT else [],    # for processors older than 2013
    "isa_x86_v3.c": [*AVX2, "-mtune=haswell"],
    "isa_x86_v4.c": [*AVX2, *AVX512, "-mtune=skylake-avx512", "-mprefer-vector-width=512"],
    "dispatch.c": ["-D__builtin_cpu_supports(set)=1"] if IS_EMULATED else [],
}


class BuildExt(build_ext):
    """Adds what setuptools lacks: flags by file name, files side by side, and OpenMP where the compiler has it."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        if self.compiler is None and os.name == "nt" and shutil.which("gcc"):
            self.compiler = "mingw32"

    def build_extensions(self) -> None:
        if self.compiler.compiler_type not in ("unix", "mingw32", "cygwin"):
            raise CompileError(f"compiler: expected GCC or Clang, got {self.compiler.compiler_type!r}. The kernels are "
                               "written with GNU C's vectors; on Windows, put the gcc of MinGW-w64 on PATH, or use WSL")
        command = getattr(self.compiler, "compiler_so", None)
        if command and shutil.which(command[0]) is None:
            raise CompileError(f"compiler: expected GCC or Clang, got no program {command[0]!r}. Install one "
                               "(Debian, Ubuntu: apt install gcc; macOS: xcode-select --install), or name it in CC. "
                               "Without a compiler fastnn_ref still runs: put the sources' folder on PYTHONPATH")
        self.began, self.done = time.perf_counter(), 0
        print(f"fastnn: {len(self.extensions)} modules to compile, {self.parallel} at a time; "
              "a minute or two on two cores", flush=True)
        openmp = [] if os.environ.get("FASTNN_NO_OPENMP") else self.openmp_flags()
        optimisation = [OPT] if OPT else GCC_KERNELS if self.links([*GCC_KERNELS, "-Werror"]) else ["-O3"]
        compile_one = self.compiler._compile

        def compile_with_flags(obj, src, ext, cc_args, postargs, pp_opts):
            is_kernel = "kernels" in Path(src).parts
            threads = {"dispatch.c": openmp, "team.c": ["-pthread"]}.get(Path(src).name, [])
            own = [*optimisation, *threads, *SET_FLAGS.get(Path(src).name, [])]
            flags = [*KERNEL_FLAGS, *own] if is_kernel else MODULE_FLAGS
            compile_one(obj, src, ext, cc_args, [*postargs, *flags, *NO_DEBUG], pp_opts)

        compile_all = self.compiler.compile

        def compile_side_by_side(sources, *args, **options):
            """One extension holds most of the code, in a file for each instruction set."""
            with ThreadPoolExecutor(self.parallel) as pool:
                objects = pool.map(lambda source: compile_all([source], *args, **options), sources)
                return [name for names in objects for name in names]

        self.compiler._compile = compile_with_flags
        self.compiler.compile = compile_side_by_side
        for extension in self.extensions:
            if extension.name == "fastnn._kernels":
                extension.extra_link_args += [*openmp, *(["-pthread"] if os.name == "posix" else [])]
        super().build_extensions()

    def build_extension(self, extension: Extension) -> None:
        super().build_extension(extension)
        self.done += 1
        print(f"fastnn: {self.done} of {len(self.extensions)} modules, {extension.name}, "
              f"{time.perf_counter() - self.began:.0f} s", flush=True)

    def openmp_flags(self) -> list[str]:
        """What to pass for OpenMP, or nothing where a small program with it does not link."""
        program = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
        flags = ["-fopenmp", *shlex.split(os.environ.get("LDFLAGS", ""))]               # a sanitizer's, too
        return ["-fopenmp"] if self.links(["-fopenmp"], flags, program) else []

    def links(self, flags: list[str], link_flags: Iterable[str] = (), program: str = "int main(void) { return 0; }\n",
              ) -> bool:
        """Whether a small program compiles with such flags, and links."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(program)
            try:
                objects = self.compiler.compile([str(source)], folder, extra_postargs=flags)
                self.compiler.link_executable(objects, str(Path(folder) / "probe"), extra_postargs=[*link_flags])
            except Exception:  # setuptools and distutils raise errors of several kinds: the compiler refuses the flags
                return False
        return True


def write_declarations() -> None:
    """Restates kernels.h and table.def for Cython in ``kernels.pxi``, which ``fastnn/_kernels.pxd`` includes.

    Both are written so that a line of C becomes a line of Cython: a struct is a list of members ``type name, *name;``,
    a kernel is ``KERNEL(type, name, (type name, ...))``.
    """
    def read(*names: str) -> str:
        return re.sub(r"/\*.*?\*/", "", "".join(Path(KERNELS, name).read_text("utf-8") for name in names), flags=re.S)

    lines = ['cdef extern from "kernels.h" nogil:']
    for members, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", read("philox.h", "kernels.h"), re.S):
        lines.append(f"    ctypedef struct {name}:")
        for kind, declarators in re.findall(r"^\s*((?:const )?\w+) ([^;#()]+);", members, re.M):
            lines += [f"        {kind} {declarator.strip()}" for declarator in declarators.split(",")]
    # The table of kernels is the last struct; its members come from the other file.
    for kind, name, arguments in re.findall(r"^KERNEL\((\w+), (\w+), \((.*?)\)\)", read("table.def"), re.M | re.S):
        lines.append(f"        {kind} (*{name})({' '.join(arguments.split())}) noexcept nogil")
    text, target = "\n".join([*lines, ""]), Path(GENERATED, "kernels.pxi")
    if not target.exists() or target.read_text("utf-8") != text:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")


def extensions() -> list[Extension]:
    """What takes longest comes first, so that at the end no core has nothing to do."""
    sets = [*(["isa_x86_v4.c", "isa_x86_v3.c"] if IS_X86 else []), "isa_portable.c"]
    headers = sorted(str(path) for pattern in ("*.h", "*.inc.c", "*.def") for path in Path(KERNELS).glob(pattern))
    kernels = Extension(
        "fastnn._kernels",
        ["fastnn/_kernels.pyx", *(KERNELS + name for name in (*sets, "dispatch.c", "team.c", "math_limits.c"))],
        depends=headers,
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"), *([("FASTNN_X86", "1")] if IS_X86 else [])],
        include_dirs=[numpy.get_include()],
    )
    modules = [Extension(f"fastnn.{path.stem}", [str(path)], depends=headers)
               for path in sorted(Path("fastnn").glob("*.pyx"), key=lambda path: -path.stat().st_size)
               if path.stem != "_kernels"]
    for extension in (kernels, *modules):
        extension.include_dirs.append(KERNELS)
    return [kernels, *modules, Extension(SHARED, [SHARED.replace(".", "/") + ".c"])]


def is_out_of_date() -> bool:
    """Were there other directives when a module was translated? Cython does not look."""
    made = [path.stat().st_mtime for path in Path(GENERATED, "fastnn").glob("*.c")]
    return bool(made) and min(made) < Path(__file__).stat().st_mtime


write_declarations()
setup(
    ext_modules=cythonize(
        extensions(),
        nthreads=PROCESSES,
        force=is_out_of_date() or None,
        build_dir=GENERATED,
        include_path=[GENERATED],
        shared_utility_qualified_name=SHARED,
        compiler_directives={
            "language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True,
            "embedsignature": True, "embedsignature.format": "clinic",
            "binding": False,           # Cython's own functions do not look at self: Linear.forward(3, x) would crash
        },
    ),
    cmdclass={"build_ext": BuildExt},
)
