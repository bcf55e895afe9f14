"""ConvTranspose2d: a convolution's way back as a layer: each pixel of x is spread over a window of y.

    forward     upatches = x @ Wᵀ,  u = each pixel's sum over the patches it stands in, + b,  y = act(u)
    backward    du = dy · act'(u),  db = Σ du
                dx = patches of du @ W
                dW = (patches of du)ᵀ @ x

So forward computes what ``Conv2d``'s backward does for dx, and the other way round: the functions are those of conv.py,
and W is the weight of the convolution from y to x. The output's height is
(h − 1)·stride + dilation·(kernel − 1) + 1 − top − bottom + output_padding: padding takes rows away, and
``output_padding`` gives rows back at the bottom, because h' and a stride do not tell how high the image was.

Source: Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional networks" (2010); Dumoulin and Visin, "A guide to
convolution arithmetic for deep learning" (2016). Engine: fastnn/conv_transpose.pyx.
"""

from .activation import ActivationLike, Weighted, get_activation
from .conv import Pair, Sides, conv2d_forward, conv2d_input_gradient, conv2d_weight_gradient, patches_of
from .init import InitLike
from .layer import Array, Parameter, Shape, sum_over
from .shared import checks


class ConvTranspose2d(Weighted):
    """y = act(u + b), u the sum of the windows x · W: x (n, in_channels, h, w), W (in_channels, out_channels / groups,
    kh, kw), b (out_channels,).

    y is (n, out_channels, h', w'), h' = (h − 1)·stride − 2·padding + dilation·(kh − 1) + output_padding + 1, which must
    be >= 1. ``padding``, as rows and columns that are taken away, is a number, a pair or two pairs
    as in ``Conv2d``, without its words. ``output_padding`` >= 0, a number or a pair, is less than ``stride`` or
    ``dilation``. Everything else as in ``Conv2d``. Initialisers take W for a convolution's, as PyTorch does: fan_in is
    out_channels / groups · kh · kw. Raises ValueError or TypeError for anything else.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.ConvTranspose2d(1, 1, kernel_size=2, stride=2, init="ones")
    >>> print(layer(np.array([[[[1.0, 2.0]]]]))[0, 0])
    [[1. 1. 2. 2.]
     [1. 1. 2. 2.]]
    """

    weight = Parameter("W, shape (in_channels, out_channels / groups, kh, kw)")
    bias = Parameter("b, shape (out_channels,), or None")

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | Pair, stride: int | Pair = 1,
                 padding: int | Pair | Sides = 0, output_padding: int | Pair = 0, groups: int = 1, bias: bool = True,
                 dilation: int | Pair = 1, activation: ActivationLike = None, *, init: InitLike | None = None) -> None:
        self.in_channels = checks.as_integer("in_channels", in_channels, 1)
        self.out_channels = checks.as_integer("out_channels", out_channels, 1)
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = checks.as_pair("stride", stride, 1)
        self.padding = checks.as_padding(padding)
        self.dilation = checks.as_pair("dilation", dilation, 1)
        self.output_padding = checks.as_output_padding(output_padding, self.stride, self.dilation)
        self.groups = checks.as_groups(groups, self.in_channels, self.out_channels)
        self._sides = checks.sides_of(self.padding)
        self._add_weights((self.in_channels, self.out_channels // self.groups, *self.kernel_size), self.out_channels,
                          checks.check_elementwise(get_activation(activation)), bias, init)

    def output_shape(self, shape: Shape) -> Shape:
        """(out_channels, h', w') for (in_channels, h, w)."""
        who = type(self).__name__
        _, *image = checks.check_image_shape(who, shape, self.in_channels)
        return (self.out_channels, *checks.transposed_shape(
            who, image, self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation))

    def forward_pass(self, x: Array, training: bool) -> Array:
        shape = len(x), *self.output_shape(x.shape[1:])
        u = conv2d_input_gradient(
            x, shape, self.values["weight"], self.stride, self._sides, self.dilation, self.groups)
        if "bias" in self.values:
            u = u + self.values["bias"][:, None, None]
        y: Array = self.activation.act(u)
        self._saved = x, u, y
        return y

    def backward_pass(self, dy: Array) -> Array:
        x, u, y = self._saved
        du, w = self.activation.act_backward(dy, u, y), self.values["weight"]
        windows = patches_of(du, self.kernel_size, self.stride, self._sides, self.dilation)
        # A dilation larger than the stride may leave room for windows that x has no pixel for.
        dx, patches = conv2d_forward(windows[:, :, :x.shape[2], :x.shape[3]], w, None, self.groups)
        self.set_gradients(conv2d_weight_gradient(x, patches, w.shape), sum_over((0, 2, 3), du))
        return dx
