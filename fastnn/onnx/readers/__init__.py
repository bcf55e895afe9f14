"""What layers the nodes of a file are: a function for each operator, ``read_`` and its name, and what these share.

``read_X(reader, node, x, shape)`` returns the layers of the node ``node``, which takes the value ``x`` of examples of
``shape``, and the value that they end in: the node's own, or that of a node behind it which belongs to it.
"""

from collections.abc import Callable
from typing import Any

from . import elementwise, images, linear, norms, shapes

READERS: dict[str, Callable[[Any, Any, str, tuple[int, ...] | None], tuple[list[Any], str]]] = {
    name.removeprefix("read_"): function
    for module in (elementwise, images, linear, norms, shapes)
    for name, function in vars(module).items() if name.startswith("read_")
}
