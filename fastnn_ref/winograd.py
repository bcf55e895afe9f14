"""Winograd's formulas: a convolution of stride 1 by fewer multiplications, for kernels k × k, k = 3 or 5.

T × T outputs of a filter g, T = 7 − k, come from the 6 × 6 window d of the padded image that they see. Three small
matrices take filters and windows to values at 6 × 6 points, where the convolution is a product, and back:

    forward     V = Bᵀ d B,  U = G g Gᵀ,  y = Aᵀ (Σ U ∘ V) A                the sum runs over the channels
    backward    D = A dy Aᵀ
                dg = Gᵀ (Σ D ∘ V) G                                         over the tiles of all images
                dd = B (Σ U ∘ D) Bᵀ                                         over the filters
                dx = each pixel's sum over the windows that it stands in

The idea: a row of T outputs has the coefficients of a product of polynomials, transposed; a product of polynomials is
known from its values at 6 points, each one multiplication, where term by term it takes T·k. In two dimensions 36
multiplications give T² outputs instead of T²·k²: a quarter of them for k = 3, 36 % for k = 5. The price: large and
small numbers are added, so more is lost to rounding. With the points 0, ±3/4, ±3/2 and ∞ it is about half of what 0,
±1, ±2 and ∞ lose.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks" (2016); Barabasz, Anderson, Soodhalter and
Gregg, "Error analysis and improving the accuracy of Winograd convolution for deep neural networks" (2020). Engine:
fastnn/kernels/conv_winograd.inc.c.
"""

import numpy as np

from .layer import Array

SIDE = 6                                    # of a window, and of its values at the points
POINTS = 0.0, 0.75, -0.75, 1.5, -1.5        # and ∞, which stands last


def tile_of(kernel: int) -> int:
    """T, the side of a tile of outputs."""
    return SIDE + 1 - kernel


def matrices(kernel: int) -> tuple[Array, Array, Array]:
    """A (6, T), B (6, 6) and G (6, kernel)."""
    others = [np.delete(POINTS, i) for i in range(len(POINTS))]
    # The values at the points of a polynomial of n coefficients; ∞ has the last coefficient.
    at_points = [np.vstack([np.vander(POINTS, n, increasing=True), np.eye(n)[-1]]) for n in (tile_of(kernel), kernel)]
    divisors = [np.prod(point - rest) for point, rest in zip(POINTS, others, strict=True)]
    # Row i of Bᵀ: the coefficients of ∏ (z − point), without point i; for ∞ of all five.
    b_t = [*(np.append(np.poly(rest)[::-1], 0.0) for rest in others), np.poly(POINTS)[::-1]]
    return at_points[0], np.array(b_t).T, at_points[1] / np.array([*divisors, 1.0])[:, None]


def both_sides(matrix: Array, squares: Array) -> Array:
    """M s Mᵀ of each square s, the last two axes, in the dtype of the squares."""
    m = matrix.astype(squares.dtype)
    return m @ squares @ m.T


def as_products(squares: Array, groups: int) -> Array:
    """(n, channels, th, tw, 6, 6) → (n, groups, 6, 6, channels of a group, th · tw): a matrix for each point."""
    n, channels = squares.shape[:2]
    return squares.reshape(n, groups, channels // groups, -1, SIDE, SIDE).transpose(0, 1, 4, 5, 2, 3)


def from_products(products: Array, tiles: tuple[int, int]) -> Array:
    """The way back, for ``tiles`` (th, tw)."""
    return products.transpose(0, 1, 4, 5, 2, 3).reshape(len(products), -1, *tiles, SIDE, SIDE)


def filters_at_points(w: Array, groups: int) -> Array:
    """U (groups, 6, 6, outside, inside) of W (out, inside, k, k)."""
    _, _, g = matrices(w.shape[2])
    return both_sides(g, w).reshape(groups, len(w) // groups, -1, SIDE, SIDE).transpose(0, 3, 4, 1, 2)


def winograd_forward(windows: Array, w: Array, groups: int) -> tuple[Array, Array]:
    """The tiles (n, out, th, tw, T, T) of windows (n, channels, th, tw, 6, 6), and V as products."""
    a, b, _ = matrices(w.shape[2])
    v = as_products(both_sides(b.T, windows), groups)
    return both_sides(a.T, from_products(filters_at_points(w, groups) @ v, windows.shape[2:4])), v


def winograd_backward(dtiles: Array, v: Array, w: Array, groups: int) -> tuple[Array, Array]:
    """dW, and dwindows, from the gradient of the tiles and V."""
    a, b, g = matrices(w.shape[2])
    d = as_products(both_sides(a, dtiles), groups)
    sums = (d @ v.swapaxes(4, 5)).sum(axis=0).transpose(0, 3, 4, 1, 2).reshape(*w.shape[:2], SIDE, SIDE)
    dpoints = filters_at_points(w, groups).swapaxes(3, 4) @ d
    return both_sides(g.T, sums), both_sides(b, from_products(dpoints, dtiles.shape[2:4]))


def image_of(tiles: Array, rows: int, columns: int) -> Array:
    """Images (n, channels, rows, columns) of tiles side by side; those at the edge hang over it."""
    n, channels, down, across, tile, _ = tiles.shape
    whole = tiles.swapaxes(3, 4).reshape(n, channels, down * tile, across * tile)
    return whole[:, :, :rows, :columns]


def tiles_of(image: Array, tile: int) -> Array:
    """The transpose of ``image_of``: tiles of the images, with zeros beyond the edge."""
    n, channels, *sides = image.shape
    down, across = (-(-side // tile) for side in sides)
    rest = [(0, count * tile - side) for count, side in zip((down, across), sides, strict=True)]
    whole = np.pad(image, ((0, 0), (0, 0), *rest))
    return whole.reshape(n, channels, down, tile, across, tile).swapaxes(3, 4)
