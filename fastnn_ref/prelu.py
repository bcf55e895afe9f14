"""PReLU: a relu whose slope below 0 is learnt.

    forward     y = x where x > 0, else a · x                a, one number, or one for each channel
    backward    dx = dy where x > 0, else a · dy
                da = Σ dy · x over the x <= 0 of the batch that a belongs to

Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015), equations 1 to 3.
Engine: fastnn/prelu.pyx.
"""

import numpy as np

from .layer import Array, Layer, Shape, sum_over
from .shared import checks
from .shared.parameter import Parameter
from .shared.shapes import check_channels


def prelu_forward(x: Array, a: Array) -> Array:
    """y for x (n, channels, inner); a is (channels,) or (1,)."""
    return np.where(x > 0, x, a[:, None] * x)


def prelu_backward(x: Array, a: Array, dy: Array) -> tuple[Array, Array]:
    """dx, and for each channel da; both (n, channels, inner) but da."""
    dx = np.where(x > 0, dy, a[:, None] * dy)
    return dx, sum_over((0, 2), np.where(x > 0, 0, dy * x))


class PReLU(Layer):
    """y = x for x > 0, else weight · x, with a slope that is learnt; x and y (n, …).

    ``weight`` has ``num_parameters``: one slope for all values, the default, or one for each of so many channels, which
    are the axis behind the batch's: (n, channels, …). It starts from ``init``, and weight decay does not apply to it.
    This is a layer and no ``activation=`` of another one, because it has a parameter.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.PReLU()(np.array([[-1.0, 2.0]])).tolist()
    [[-0.25, 2.0]]
    """

    weight = Parameter("The slope below 0, (num_parameters,)")

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.num_parameters = checks.check_size(
            "num_parameters", checks.as_integer("num_parameters", num_parameters, 1)
        )
        self.init = checks.as_number("init", init)
        self.add("weight", (self.num_parameters,), self.init)

    def output_shape(self, shape: Shape) -> Shape:
        """The input's own shape; its first axis must be ``num_parameters``, unless that is 1."""
        return check_channels(type(self).__name__, shape, self.num_parameters)

    def forward_pass(self, x: Array, training: bool) -> Array:
        by_channel = self._saved = x.reshape(len(x), self.num_parameters, -1)
        return prelu_forward(by_channel, self.values["weight"]).reshape(x.shape)

    def backward_pass(self, dy: Array) -> Array:
        dx, da = prelu_backward(self._saved, self.values["weight"], dy.reshape(self._saved.shape))
        self.set_gradients(da)
        return dx.reshape(dy.shape)
