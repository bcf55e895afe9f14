"""Conv2d: one small set of weights, shared by every place of the image.

    patches     every window that the kernel sees, as rows: (positions, channels · height · width of the kernel)
    forward     u = patches @ W + b,  y = act(u)            a Linear over patches
    backward    du = dy · act'(u)
                dW = patchesᵀ @ du,  db = Σ du              a weight's gradient is the sum over the places that use it
                dpatches = du @ Wᵀ,  dx = each pixel's sum over the patches it stands in

It is a cross-correlation: the kernel is not flipped. The output's height is
⌊(h + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1, and its width alike. With
``groups`` the channels are cut into so many parts that do not see each other.

Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition" (1998).
Engine: fastnn/conv.pyx.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .activation import ActivationLike, Weighted, get_activation
from .init import InitLike
from .layer import Array, Parameter, Shape
from .shared import checks

Pair = tuple[int, int]


def patches_of(x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, fill: float = 0.0) -> Array:
    """A view of the images, padded with ``fill``: (n, channels, h', w', kh, kw), each window, nothing copied."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, stride, padding, dilation
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    windows = sliding_window_view(padded, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), axis=(2, 3))
    return windows[:, :, ::sh, ::sw, ::dh, ::dw]


def sum_of_patches(dpatches: Array, shape: Shape, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """The transpose of ``patches_of``: each pixel of images of ``shape`` is the sum over the patches it stands in."""
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    rows, columns, kh, kw = dpatches.shape[2:]
    padded = np.zeros((*shape[:2], shape[2] + 2 * ph, shape[3] + 2 * pw), dpatches.dtype)
    for i in range(kh):
        for j in range(kw):
            top, left = i * dh, j * dw
            padded[:, :, top:top + sh * rows:sh, left:left + sw * columns:sw] += dpatches[..., i, j]
    return padded[:, :, ph:ph + shape[2], pw:pw + shape[3]]


def matrix(w: Array, groups: int) -> Array:
    """W as Linear has it, one for each group: (groups, inside, outside)."""
    return w.reshape(groups, len(w) // groups, -1).swapaxes(1, 2)


def conv2d_forward(x: Array, w: Array, b: Array | None, stride: Pair, padding: Pair, dilation: Pair,
                   groups: int) -> tuple[Array, Array]:
    """u (n, out, h', w') and the patches (n, groups, positions, inside)."""
    windows = patches_of(x, w.shape[2:], stride, padding, dilation)
    n, _, height, width = windows.shape[:4]
    grouped = windows.reshape(n, groups, -1, *windows.shape[2:]).transpose(0, 1, 3, 4, 2, 5, 6)
    patches = grouped.reshape(n, groups, height * width, -1)
    u = (patches @ matrix(w, groups)).swapaxes(2, 3).reshape(n, len(w), height, width)
    return (u if b is None else u + b[:, None, None]), patches


def conv2d_backward(du: Array, shape: Shape, patches: Array, w: Array, stride: Pair, padding: Pair,
                    dilation: Pair) -> tuple[Array, Array, Array]:
    """dx in x's ``shape``, dW, db."""
    n, groups = patches.shape[:2]
    height, width = du.shape[2:]
    rows = du.reshape(n, groups, -1, height * width).swapaxes(2, 3)                 # (n, groups, positions, outside)
    dw = (patches.swapaxes(2, 3) @ rows).sum(axis=0).swapaxes(1, 2).reshape(w.shape)
    dpatches = (rows @ matrix(w, groups).swapaxes(1, 2)).reshape(n, groups, height, width, -1, *w.shape[2:])
    dpatches = dpatches.transpose(0, 1, 4, 2, 3, 5, 6).reshape(*shape[:2], height, width, *w.shape[2:])
    return sum_of_patches(dpatches, shape, stride, padding, dilation), dw, du.sum(axis=(0, 2, 3))


class Conv2d(Weighted):
    """y = act(x ⋆ W + b): x (n, in_channels, h, w), W (out_channels, in_channels / groups, kh, kw), b (out_channels,).

    y is (n, out_channels, h', w'), h' = ⌊(h + 2·padding − dilation·(kh − 1) − 1) / stride⌋ + 1, which must be >= 1.
    ``kernel_size``, ``stride``, ``dilation`` >= 1 and ``padding`` >= 0 (zeros) are a number or a pair (height, width);
    ``groups`` divides both numbers of channels. ``activation`` works element by element; it and ``init`` as in
    ``Linear``. Raises ValueError or TypeError for anything else.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.Conv2d(1, 1, kernel_size=2, bias=False)
    >>> layer.weight = np.array([[[[1, 0], [0, -1]]]])
    >>> print(layer(np.arange(9.0).reshape(1, 1, 3, 3))[0, 0])
    [[-4. -4.]
     [-4. -4.]]
    """

    weight = Parameter("W, shape (out_channels, in_channels / groups, kh, kw)")
    bias = Parameter("b, shape (out_channels,), or None")

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | Pair, stride: int | Pair = 1,
                 padding: int | Pair = 0, dilation: int | Pair = 1, groups: int = 1,
                 activation: ActivationLike = None, bias: bool = True, *, init: InitLike | None = None) -> None:
        self.in_channels = checks.as_integer("in_channels", in_channels, 1)
        self.out_channels = checks.as_integer("out_channels", out_channels, 1)
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = checks.as_pair("stride", stride, 1)
        self.padding = checks.as_pair("padding", padding, 0)
        self.dilation = checks.as_pair("dilation", dilation, 1)
        self.groups = checks.as_groups(groups, self.in_channels, self.out_channels)
        self._add_weights((self.out_channels, self.in_channels // self.groups, *self.kernel_size), self.out_channels,
                          checks.check_elementwise(get_activation(activation)), bias, init)

    def output_shape(self, shape: Shape) -> Shape:
        """(out_channels, h', w') for (in_channels, h, w)."""
        who = type(self).__name__
        _, *image = checks.check_image_shape(who, shape, self.in_channels)
        return (self.out_channels, *checks.window_counts(
            who, image, self.kernel_size, self.stride, self.padding, self.dilation))

    def forward_pass(self, x: Array, training: bool) -> Array:
        u, patches = conv2d_forward(
            x, self.values["weight"], self.values.get("bias"), self.stride, self.padding, self.dilation, self.groups)
        y: Array = self.activation.act(u)
        self.saved = x.shape, patches, u, y
        return y

    def backward_pass(self, dy: Array) -> Array:
        shape, patches, u, y = self.saved
        du = self.activation.act_backward(dy, u, y)
        dx, *gradients = conv2d_backward(
            du, shape, patches, self.values["weight"], self.stride, self.padding, self.dilation)
        self.set_gradients(*gradients)
        return dx
