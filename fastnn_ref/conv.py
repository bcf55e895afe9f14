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
Twin: fastnn/conv.pyx.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import init as initialisers
from .activation import Activation, activation_of
from .layer import Array, Layer, Shape
from .shared import checks
from .shared.parameter import ParameterSpec

Pair = tuple[int, int]


class Conv2d(Layer):
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

    changes_shape = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Pair, stride: int | Pair = 1,
        padding: int | Pair = 0, dilation: int | Pair = 1, groups: int = 1,
        activation: str | Activation | None = None, bias: bool = True, *, init: str | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = checks.as_integer("in_channels", in_channels, 1)
        self.out_channels = checks.as_integer("out_channels", out_channels, 1)
        self.kernel_size = checks.as_pair("kernel_size", kernel_size, 1)
        self.stride = checks.as_pair("stride", stride, 1)
        self.padding = checks.as_pair("padding", padding, 0)
        self.dilation = checks.as_pair("dilation", dilation, 1)
        self.groups = checks.as_groups(groups, self.in_channels, self.out_channels)
        self.activation = checks.check_elementwise(activation_of(activation))
        self.init = init
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        checks.check_size("weight", *shape)
        start = initialisers.default_init(self.activation.name, init)
        self.specifications = [ParameterSpec("weight", shape, start, True)]
        if checks.as_flag("bias", bias):
            self.specifications.append(ParameterSpec("bias", (self.out_channels,), "zeros"))

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        named: dict[str, Any] = {}
        for name, usual in ("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1), ("init", None):
            if getattr(self, name) != usual:
                named[name] = getattr(self, name)
        if self.activation.name != "identity":
            named["activation"] = self.activation
        if len(self.specifications) == 1:
            named["bias"] = False
        return (self.in_channels, self.out_channels, self.kernel_size), named

    @property
    def weight(self) -> Array:
        """W, shape (out_channels, in_channels / groups, kh, kw); assigning copies values in."""
        return self.params["weight"]

    @weight.setter
    def weight(self, value: object) -> None:
        self.assign("weight", value)

    @property
    def bias(self) -> Array | None:
        """b, shape (out_channels,), or None; assigning copies values in."""
        return self.params.get("bias")

    @bias.setter
    def bias(self, value: object) -> None:
        self.assign("bias", value)

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """(out_channels, h', w') for (in_channels, h, w)."""
        who = type(self).__name__
        _, *image = checks.check_image_shape(who, shape, self.in_channels)
        return (self.out_channels, *checks.window_counts(
            who, image, self.kernel_size, self.stride, self.padding, self.dilation))

    def windows(self, padded: Array) -> Array:
        """A view of the padded images, (n, channels, h', w', kh, kw): each window, nothing copied."""
        (kh, kw), (sh, sw), (dh, dw) = self.kernel_size, self.stride, self.dilation
        seen = sliding_window_view(padded, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), axis=(2, 3))
        return seen[:, :, ::sh, ::sw, ::dh, ::dw]

    def matrix(self) -> Array:
        """W as Linear has it, one for each group: (groups, inside, outside)."""
        w = self.values["weight"]
        return w.reshape(self.groups, len(w) // self.groups, -1).swapaxes(1, 2)

    def forward_pass(self, x: Array, training: bool) -> Array:
        ph, pw = self.padding
        windows = self.windows(np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw))))
        n, _, height, width = windows.shape[:4]
        # (n, groups, positions, inside)
        patches = windows.reshape(n, self.groups, -1, *windows.shape[2:]).transpose(0, 1, 3, 4, 2, 5, 6).reshape(
            n, self.groups, height * width, -1)
        u = patches @ self.matrix()
        u = u.swapaxes(2, 3).reshape(n, self.out_channels, height, width)
        if "bias" in self.values:
            u = u + self.values["bias"][:, None, None]
        y = self.activation.act(u)
        self._kept = x.shape, patches, u, y
        return y

    def backward_pass(self, dy: Array) -> Array:
        (n, channels, *image), patches, u, y = self._kept
        du = self.activation.act_back(dy, u, y)
        if "bias" in self.values:
            self.gradients["bias"][...] = du.sum(axis=(0, 2, 3))
        height, width = du.shape[2:]
        du = du.reshape(n, self.groups, -1, height * width).swapaxes(2, 3)          # (n, groups, positions, outside)
        dw = (patches.swapaxes(2, 3) @ du).sum(axis=0)                                  # (groups, inside, outside)
        self.gradients["weight"][...] = dw.swapaxes(1, 2).reshape(self.values["weight"].shape)
        dpatches = (du @ self.matrix().swapaxes(1, 2)).reshape(
            n, self.groups, height, width, -1, *self.kernel_size)
        (ph, pw), (sh, sw), (dh, dw_) = self.padding, self.stride, self.dilation
        padded = np.zeros((n, channels, image[0] + 2 * ph, image[1] + 2 * pw), dy.dtype)
        for i in range(self.kernel_size[0]):
            for j in range(self.kernel_size[1]):
                part = dpatches[..., i, j].transpose(0, 1, 4, 2, 3).reshape(n, channels, height, width)
                top, left = i * dh, j * dw_
                padded[:, :, top:top + sh * height:sh, left:left + sw * width:sw] += part
        return padded[:, :, ph:ph + image[0], pw:pw + image[1]]
