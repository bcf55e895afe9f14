"""Augmentation: in training every image comes a little different each time, so that what does not matter is not learnt.

    warp        y(p) = x(A·(p − centre − shift) + centre), between the pixels bilinear, ``fill`` outside
                A = flip @ shear @ rotation / zoom, on (row, column): where to look for what is to be seen at p
    brightness  y = x + b
    contrast    y = (x − mean)·f + mean             mean over the example
    noise       y = x + std · z,  z ~ N(0, 1)
    erasing     y = ``fill`` inside a random rectangle

in this order; each example has draws of its own. All but the additions are linear, so backward is the transpose of
each, in the opposite order: what the warp read with a weight gets a share by the same weight.

Sources: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks" (2003) for warps; Zhong et
al., "Random erasing data augmentation" (2020). Engine: fastnn/augment.pyx.
"""

import math
from typing import Any

import numpy as np

from . import philox
from .gaussian_noise import add_noise
from .layer import Array, Layer, Shape
from .shared import checks
from .shared.shapes import check_input_shape

Pair = tuple[float, float]
Changes = dict[str, Any]        # of each example: warp (matrices, shifts), added, factor, kept

WORDS = 16          # random words an example: thirteen for what follows, noise apart
ROTATION, DOWN, ACROSS, ZOOM, SHEAR, FLIP, BRIGHTNESS, CONTRAST, ERASE, AREA, ASPECT, TOP, LEFT = range(13)
AREAS = 0.02, 0.33  # of what is erased, as a share of the image, and its height over its width: 0.3 … 1/0.3
ASPECTS = 0.3, 1 / 0.3


def affine(angle: float, zoom: float, shear: float, flip: bool) -> Array:
    """A (2, 2) on (row, column): content is turned counter-clockwise by ``angle`` (radians), grows by ``zoom``.

    >>> from fastnn_ref.augment import affine
    >>> affine(0.0, 2.0, 0.0, True).tolist()
    [[0.5, 0.0], [-0.0, -0.5]]
    """
    c, s, t, sign = math.cos(angle), math.sin(angle), math.tan(shear), -1.0 if flip else 1.0
    return np.array([[c, s], [sign * (t * c - s), sign * (t * s + c)]]) / zoom


def neighbours(matrices: Array, shifts: Array, image: Shape) -> tuple[Array, Array]:
    """For each pixel of each example the four that it is made of: flat indices and weights, both (n, h·w, 4).

    ``matrices`` (n, 2, 2), ``shifts`` (n, 2) in pixels. Outside the image the index is −1.
    """
    height, width = image
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    rows, columns = np.mgrid[:height, :width].reshape(2, -1)
    p = np.stack([rows, columns], axis=-1) - centre - shifts[:, None, :]                # (n, h·w, 2)
    source = np.stack([(matrices[:, None, k] * p).sum(axis=-1) + centre[k] for k in (0, 1)], axis=-1)
    low = np.floor(source)
    part = source - low
    touches = (source > -1).all(axis=-1)        # at −1 the weight is 0, and there is no share: 0 · NaN would be NaN
    indices, weights = [], []
    for down in (0, 1):
        for across in (0, 1):
            i, j = low[..., 0] + down, low[..., 1] + across
            inside = touches & (i >= 0) & (i < height) & (j >= 0) & (j < width)
            weight = (part[..., 0] if down else 1 - part[..., 0]) * (part[..., 1] if across else 1 - part[..., 1])
            indices.append(np.where(inside, i * width + j, -1).astype(np.int64))
            weights.append(weight)
    return np.stack(indices, axis=-1), np.stack(weights, axis=-1)


def warp(images: Array, matrices: Array, shifts: Array, fill: float = 0.0) -> Array:
    """Images (n, channels, h, w), each looked up at A·(p − centre − shift) + centre; outside everything is ``fill``."""
    indices, weights = neighbours(matrices, shifts, images.shape[2:])
    flat = images.reshape(*images.shape[:2], -1)
    seen = np.take_along_axis(flat[:, :, :, None], indices[:, None, :, :].reshape(len(images), 1, -1, 1), axis=2)
    # A select: what is read for a place outside is some pixel or other, and 0 · NaN would be NaN.
    found = np.where(indices[:, None] >= 0, seen.reshape(*flat.shape, 4), images.dtype.type(fill))
    parts = found * weights[:, None].astype(images.dtype)
    total: Array = parts[..., 0] + parts[..., 1] + parts[..., 2] + parts[..., 3]
    return total.reshape(images.shape)


def unwarp(dy: Array, matrices: Array, shifts: Array) -> Array:
    """The transpose of ``warp``: each pixel gives back by the weights that it was made with."""
    indices, weights = neighbours(matrices, shifts, dy.shape[2:])
    dx = np.zeros_like(dy).reshape(*dy.shape[:2], -1)
    for example in range(len(dy)):
        for channel in range(dy.shape[1]):
            shares = dy[example, channel].reshape(-1, 1) * weights[example].astype(dy.dtype)
            np.add.at(dx[example, channel], indices[example], np.where(indices[example] >= 0, shares, 0))
    return dx.reshape(dy.shape)


def rectangle(u: Array, height: int, width: int) -> tuple[int, int, int, int]:
    """(top, left, height, width) of what is erased: area and log of the aspect uniform, then the place."""
    area = (AREAS[0] + (AREAS[1] - AREAS[0]) * u[AREA]) * height * width
    aspect = ASPECTS[0] * math.pow(ASPECTS[1] / ASPECTS[0], u[ASPECT])
    down = min(max(math.floor(math.sqrt(area * aspect) + 0.5), 1), height)
    across = min(max(math.floor(math.sqrt(area / aspect) + 0.5), 1), width)
    return math.floor(u[TOP] * (height - down + 1)), math.floor(u[LEFT] * (width - across + 1)), down, across


def augment_forward(x: Array, changes: Changes, noise: float, fill: float, words: Array) -> Array:
    """The images (n, channels, h, w) with all that ``changes`` holds, and noise drawn from ``words``."""
    if "warp" in changes:
        matrices, shifts = changes["warp"]
        x = warp(x, matrices, shifts, fill)
    if "added" in changes:
        x = x + changes["added"]
    if "factor" in changes:
        mean = x.mean(axis=(1, 2, 3), keepdims=True)
        x = (x - mean) * changes["factor"] + mean
    if noise:
        x = add_noise(x, words, noise)
    return np.where(changes["kept"], x, x.dtype.type(fill)) if "kept" in changes else x


def augment_backward(dy: Array, changes: Changes) -> Array:
    """The transpose of each change, in the opposite order; what is added has none."""
    if "kept" in changes:
        dy = np.where(changes["kept"], dy, 0)
    if "factor" in changes:
        dy = dy * changes["factor"] + dy.mean(axis=(1, 2, 3), keepdims=True) * (1 - changes["factor"])
    return unwarp(dy, *changes["warp"]) if "warp" in changes else dy


class Augment(Layer):
    """In training changes each image at random, in this order; nothing at prediction. x and y (n, channels, h, w).

    ``rotation`` and ``shear`` in degrees (< 90 for shear), ``shift`` in pixels (a number, or a pair down and across),
    ``zoom`` < 1, ``brightness`` and ``contrast`` are the largest change either way, >= 0: the draw is uniform in ±
    rotation, 1 ± zoom and so on. ``flip`` is the probability of a mirror image, left and right; ``noise`` the standard
    deviation of normal noise; ``erase`` the probability that a rectangle of 2 to 33 % of the image becomes ``fill``.
    Between pixels it is bilinear, and ``fill`` outside, a number: that of the background, where it is not 0. With
    ``whole_shift`` the shift is a whole number of pixels, each from −shift to shift as likely, and by itself moves
    pixels without mixing them. With ``image_shape`` = (channels, h, w), rows (n, channels·h·w) are taken and returned.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Augment(flip=1.0, brightness=0.0))
    >>> print(model.forward(np.array([[[[1.0, 2.0, 3.0]]]]), training=True)[0, 0])
    [[3. 2. 1.]]
    """

    def __init__(self, *, rotation: float = 0.0, shift: float | Pair = 0.0, zoom: float = 0.0, shear: float = 0.0,
                 flip: float = 0.0, brightness: float = 0.0, contrast: float = 0.0, noise: float = 0.0,
                 erase: float = 0.0, fill: float = 0.0, whole_shift: bool = False,
                 image_shape: Shape | None = None) -> None:
        self.rotation = checks.as_number("rotation", rotation, 0)
        self.whole_shift = checks.as_flag("whole_shift", whole_shift)
        self.shift = checks.as_shift(shift, self.whole_shift)
        self.zoom = checks.as_number("zoom", zoom, 0, 1, high_open=True)
        self.shear = checks.as_number("shear", shear, 0, 90, high_open=True)
        self.flip = checks.as_number("flip", flip, 0, 1)
        self.brightness = checks.as_number("brightness", brightness, 0)
        self.contrast = checks.as_number("contrast", contrast, 0)
        self.noise = checks.as_number("noise", noise, 0)
        self.erase = checks.as_number("erase", erase, 0, 1)
        self.fill = checks.as_number("fill", fill)
        self.image_shape = checks.as_image_shape("image_shape", image_shape)
        if self.image_shape is not None:
            self._input_shape = (math.prod(self.image_shape),)

    def output_shape(self, shape: Shape) -> Shape:
        """The input's own shape."""
        if self.image_shape is None:
            return checks.check_image_shape(type(self).__name__, shape)
        size = (math.prod(self.image_shape),)
        return check_input_shape(type(self).__name__, shape, size, size)

    def forward_pass(self, x: Array, training: bool) -> Array:
        if not training:
            self._saved = None
            return x
        images = x if self.image_shape is None else x.reshape(-1, *self.image_shape)
        words = self.random_words(WORDS * len(x) + x.size + x.size % 2)
        drawn = self._saved = self.draw(words[:WORDS * len(x)], images)
        return augment_forward(images, drawn, self.noise, self.fill, words[WORDS * len(x):]).reshape(x.shape)

    def backward_pass(self, dy: Array) -> Array:
        if self._saved is None:
            return dy
        images = dy if self.image_shape is None else dy.reshape(-1, *self.image_shape)
        return augment_backward(images, self._saved).reshape(dy.shape)

    def draw(self, words: Array, images: Array) -> Changes:
        """What happens to each of ``images`` in this pass."""
        n, _, height, width = images.shape
        u = philox.to_uniform(words).reshape(n, WORDS)
        swing = 2 * u - 1                                                       # in −1 … 1
        found: Changes = {}
        shift, shifts = np.array(self.shift), np.array(self.shift) * swing[:, [DOWN, ACROSS]]
        if self.whole_shift:                                                    # −shift … shift, equally likely
            shifts = np.floor(u[:, [DOWN, ACROSS]] * (2 * shift + 1)) - shift
        if any((self.rotation, *self.shift, self.zoom, self.shear, self.flip)):
            found["warp"] = np.array([
                affine(math.radians(self.rotation * s[ROTATION]), 1 + self.zoom * s[ZOOM],
                       math.radians(self.shear * s[SHEAR]), p[FLIP] < self.flip) for s, p in zip(swing, u, strict=True)
            ]), shifts
        if self.brightness:
            found["added"] = (self.brightness * swing[:, BRIGHTNESS]).astype(images.dtype)[:, None, None, None]
        if self.contrast:
            found["factor"] = (1 + self.contrast * swing[:, CONTRAST]).astype(images.dtype)[:, None, None, None]
        if self.erase:
            found["kept"] = np.ones((n, 1, height, width), bool)
            for example in np.flatnonzero(u[:, ERASE] < self.erase):
                top, left, down, across = rectangle(u[example], height, width)
                found["kept"][example, :, top:top + down, left:left + across] = False
        return found
