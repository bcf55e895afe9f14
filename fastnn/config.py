"""What this build of fastnn is and uses."""

import numpy as np

from . import _kernels
from ._version import __version__


def show_config() -> None:
    """Prints version, instruction set, threads, compiler and NumPy: what a bug report needs.

    >>> import fastnn
    >>> fastnn.show_config()                                            # doctest: +ELLIPSIS
    fastnn ...
    """
    rows = [
        ("fastnn", __version__),
        ("instruction set", f"{_kernels.isa()} (this machine runs: {', '.join(_kernels.available())})"),
        ("threads", f"{_kernels.get_num_threads()} ({_kernels.threading()})"),
        ("compiler", _kernels.compiler()),
        ("numpy", np.__version__),
    ]
    print("\n".join(f"{name:<16} {value}" for name, value in rows))
