# The public names are those of the reference, whose annotations are the types here, and these.
from fastnn_ref import *  # noqa: F403

from . import _kernels as _kernels
from ._kernels import get_num_threads as get_num_threads
from ._kernels import isa as isa
from ._kernels import set_num_threads as set_num_threads
from ._version import __version__ as __version__
from .comparison import compare as compare
from .config import show_config as show_config
