"""Conv2d: one small set of weights, shared by every place of the image.

    patches     every window that the kernel sees, as rows: (positions, channels · height · width of the kernel)
    forward     u = patches @ W + b,  y = act(u)            a Linear over patches
    backward    du = dy · act'(u)
                dW = patchesᵀ @ du,  db = Σ du              a weight's gradient is the sum over the places that use it
                dpatches = du @ Wᵀ,  dx = each pixel's sum over the patches it stands in

It is a cross-correlation: the kernel is not flipped. The output's height is
⌊(h + top + bottom − dilation·(kernel − 1) − 1) / stride⌋ + 1, with so many rows of zeros at the top and the bottom, and
its width alike. With ``groups`` the channels are cut into so many parts that do not see each other. winograd.py has
formulas with fewer multiplications.

Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition" (1998).
Engine: fastnn/conv.pyx.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .activation import ActivationLike, Weighted, get_activation
from .init import InitLike
from .layer import Array, Parameter, Shape, sum_over
from .shared import checks
from .winograd import SIDE, image_of, tile_of, tiles_of, winograd_backward, winograd_forward

Pair = tuple[int, int]
Sides = tuple[Pair, Pair]               # of padding: (top, bottom), (left, right)
Padding = int | Pair | Sides | str


def patches_of(x: Array, kernel: Pair, stride: Pair, sides: Sides, dilation: Pair, fill: float = 0.0) -> Array:
    """A view of the images, padded with ``fill``: (n, channels, h', w', kh, kw), each window, nothing copied."""
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
    padded = np.pad(x, ((0, 0), (0, 0), *sides), constant_values=fill)
    windows = sliding_window_view(padded, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), axis=(2, 3))
    return windows[:, :, ::sh, ::sw, ::dh, ::dw]


def sum_of_patches(dpatches: Array, shape: Shape, stride: Pair, sides: Sides, dilation: Pair) -> Array:
    """The transpose of ``patches_of``: each pixel of images of ``shape`` is the sum over the patches it stands in."""
    (sh, sw), (dh, dw), ((top, bottom), (left, right)) = stride, dilation, sides
    rows, columns, kh, kw = dpatches.shape[2:]
    padded = np.zeros((*shape[:2], top + shape[2] + bottom, left + shape[3] + right), dpatches.dtype)
    for i in range(kh):
        for j in range(kw):
            padded[:, :, i * dh:i * dh + sh * rows:sh, j * dw:j * dw + sw * columns:sw] += dpatches[..., i, j]
    return padded[:, :, top:top + shape[2], left:left + shape[3]]


def matrix(w: Array, groups: int) -> Array:
    """W as Linear has it, one for each group: (groups, inside, outside)."""
    return w.reshape(groups, len(w) // groups, -1).swapaxes(1, 2)


def rows_of(windows: Array, groups: int) -> Array:
    """The patches as rows: (n, groups, positions, inside)."""
    n, _, height, width = windows.shape[:4]
    grouped = windows.reshape(n, groups, -1, *windows.shape[2:]).transpose(0, 1, 3, 4, 2, 5, 6)
    return grouped.reshape(n, groups, height * width, -1)


def pixels_of(images: Array, groups: int) -> Array:
    """The pixels of images as rows: (n, groups, positions, channels of a group)."""
    return images.reshape(len(images), groups, -1, images[0, 0].size).swapaxes(2, 3)


def conv2d_forward(windows: Array, w: Array, b: Array | None, groups: int) -> tuple[Array, Array]:
    """u (n, out, h', w') of ``patches_of`` x, and the patches as rows."""
    patches = rows_of(windows, groups)
    u = (patches @ matrix(w, groups)).swapaxes(2, 3).reshape(len(windows), len(w), *windows.shape[2:4])
    return (u if b is None else u + b[:, None, None]), patches


def conv2d_weight_gradient(du: Array, patches: Array, shape: Shape) -> Array:
    """dW in W's ``shape``."""
    rows = pixels_of(du, patches.shape[1])
    return (patches.swapaxes(2, 3) @ rows).sum(axis=0).swapaxes(1, 2).reshape(shape)


def conv2d_input_gradient(du: Array, shape: Shape, w: Array, stride: Pair, sides: Sides, dilation: Pair,
                          groups: int) -> Array:
    """dx in x's ``shape``."""
    height, width = du.shape[2:]
    dpatches = (pixels_of(du, groups) @ matrix(w, groups).swapaxes(1, 2)).reshape(
        len(du), groups, height, width, -1, *w.shape[2:])
    dpatches = dpatches.transpose(0, 1, 4, 2, 3, 5, 6).reshape(*shape[:2], height, width, *w.shape[2:])
    return sum_of_patches(dpatches, shape, stride, sides, dilation)


class Conv2d(Weighted):
    """y = act(x ⋆ W + b): x (n, in_channels, h, w), W (out_channels, in_channels / groups, kh, kw), b (out_channels,).

    y is (n, out_channels, h', w'), h' = ⌊(h + 2·padding − dilation·(kh − 1) − 1) / stride⌋ + 1, which must be >= 1.
    ``kernel_size``, ``stride`` and ``dilation`` >= 1 are a number or a pair (height, width). ``padding`` >= 0, zeros,
    is such a number or pair for both sides, or two pairs ((top, bottom), (left, right)); "valid" is 0; "same" keeps
    height and width, with an odd row or column at the bottom or right, and needs a stride of 1. ``groups`` divides both
    numbers of channels. ``activation`` works element by element; it and ``init`` as in ``Linear``. Raises ValueError or
    TypeError for anything else.

    ``algorithm="winograd"``, for a ``kernel_size`` of 3 or 5, stride 1 and dilation 1, takes a quarter or 36 % of the
    multiplications, forward and backward (winograd.py has the formulas). In the engine it pays from about 16 channels
    on. It is the same function but for rounding: in float32, y of 64 channels was 5·10⁻⁷ to 7·10⁻⁷ (root mean square,
    relative) from float64, where "direct" was 2·10⁻⁷ to 5·10⁻⁷. An infinite or NaN pixel spoils whole tiles of 4 × 4
    outputs (2 × 2 for 5); and where "direct" finds exact zeros, as in black parts of an image, it may find tiny
    numbers.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.Conv2d(1, 1, kernel_size=2, bias=False)
    >>> layer.weight = np.array([[[[1, 0], [0, -1]]]])
    >>> print(layer(np.arange(9.0).reshape(1, 1, 3, 3))[0, 0])
    [[-4. -4.]
     [-4. -4.]]
    >>> nn.Conv2d(1, 1, kernel_size=2, padding="same").padding
    ((0, 1), (0, 1))
    """

    weight = Parameter("W, shape (out_channels, in_channels / groups, kh, kw)")
    bias = Parameter("b, shape (out_channels,), or None")

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | Pair, stride: int | Pair = 1,
                 padding: Padding = 0, dilation: int | Pair = 1, groups: int = 1,
                 activation: ActivationLike = None, bias: bool = True, *, init: InitLike | None = None,
                 algorithm: str = "direct") -> None:
        self.in_channels = checks.as_integer("in_channels", in_channels, 1)
        self.out_channels = checks.as_integer("out_channels", out_channels, 1)
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = checks.as_pair("stride", stride, 1)
        self.dilation = checks.as_pair("dilation", dilation, 1)
        self.padding = checks.as_padding(padding, checks.extent(self.kernel_size, self.dilation), self.stride)
        self.groups = checks.as_groups(groups, self.in_channels, self.out_channels)
        self.algorithm = checks.as_algorithm(algorithm, self.kernel_size, self.stride, self.dilation)
        self._sides = checks.sides_of(self.padding)
        self._add_weights((self.out_channels, self.in_channels // self.groups, *self.kernel_size), self.out_channels,
                          checks.check_elementwise(get_activation(activation)), bias, init)

    def output_shape(self, shape: Shape) -> Shape:
        """(out_channels, h', w') for (in_channels, h, w)."""
        who = type(self).__name__
        _, *image = checks.check_image_shape(who, shape, self.in_channels)
        return (self.out_channels, *checks.window_counts(
            who, image, self.kernel_size, self.stride, self.padding, self.dilation))

    def _tiling(self, shape: Shape) -> tuple[Pair, Pair, Sides]:
        """Winograd's windows of images of ``shape``, as ``patches_of`` takes them: 6 × 6 pixels, every T."""
        tile, (kernel, _) = tile_of(self.kernel_size[0]), self.kernel_size
        need = [-(-side // tile) * tile + kernel - 1 for side in self.output_shape(shape[1:])[1:]]
        rows, columns = ((before, size - before - side) for size, (before, _), side in zip(
            need, self._sides, shape[2:], strict=True))
        return (SIDE, SIDE), (tile, tile), (rows, columns)

    def forward_pass(self, x: Array, training: bool) -> Array:
        w, b = self.values["weight"], self.values.get("bias")
        if self.algorithm == "winograd":
            tiles, patches = winograd_forward(patches_of(x, *self._tiling(x.shape), (1, 1)), w, self.groups)
            u = image_of(tiles, *self.output_shape(x.shape[1:])[1:])
            u = u if b is None else u + b[:, None, None]
        else:
            windows = patches_of(x, self.kernel_size, self.stride, self._sides, self.dilation)
            u, patches = conv2d_forward(windows, w, b, self.groups)
        y: Array = self.activation.act(u)
        self._saved = x.shape, patches, u, y
        return y

    def backward_pass(self, dy: Array) -> Array:
        shape, patches, u, y = self._saved
        du, w = self.activation.act_backward(dy, u, y), self.values["weight"]
        if self.algorithm == "winograd":
            _, step, sides = self._tiling(shape)
            dw, dwindows = winograd_backward(tiles_of(du, step[0]), patches, w, self.groups)
            self.set_gradients(dw, sum_over((0, 2, 3), du))
            return sum_of_patches(dwindows, shape, step, sides, (1, 1))
        self.set_gradients(conv2d_weight_gradient(du, patches, w.shape), sum_over((0, 2, 3), du))
        return conv2d_input_gradient(du, shape, w, self.stride, self._sides, self.dilation, self.groups)
