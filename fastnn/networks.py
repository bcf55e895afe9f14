"""The networks that ``fastnn train`` knows, made by either package: what is asked of them is put in its usual place.

    mlp     [Augment]  (Linear [BatchNorm] activation [Dropout]) …  Linear
    cnn     [Augment]  (Conv2d [BatchNorm] activation MaxPool2d) …  Flatten  then as mlp

A hidden layer as wide as the one before it can be left out at random (stochastic depth); in a cnn one more convolution
behind each pool is there for it. DropConnect takes the place of hidden Linear layers.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from fastnn_ref import init


@dataclass(frozen=True)
class Recipe:
    """What the layers of a network are made with; 0 leaves a regularizer out."""

    activation: str = "relu"
    dropout: float = 0.0
    dropconnect: float = 0.0
    batch_norm: bool = False
    stochastic_depth: float = 0.0


def mlp(nn: ModuleType, widths: Sequence[int], recipe: Recipe, chances: Sequence[float] | None = None) -> list[Any]:
    """Layers from ``widths[0]`` inputs to ``widths[-1]`` outputs.

    ``chances`` are the probabilities of leaving each residual layer out, by default growing to
    ``recipe.stochastic_depth``; ValueError if there is no layer to leave out.

    >>> from fastnn.networks import mlp, Recipe
    >>> import fastnn_ref
    >>> mlp(fastnn_ref, (64, 32, 10), Recipe(dropout=0.5))
    [Linear(64, 32, activation=ReLU()), Dropout(), Linear(32, 10)]
    """
    pairs = list(itertools.pairwise(widths[:-1]))
    residual = [inside == outside for inside, outside in pairs[1:]]
    if recipe.stochastic_depth and chances is None and not any(residual):  # it would do nothing
        raise ValueError("stochastic_depth: expected hidden layers of equal width one after another, such as 128,128, "
                         f"got {','.join(map(str, widths[1:-1])) or 'none'}")
    rates = chances
    if not rates and any(residual):
        rates = nn.stochastic_depth_rates(sum(residual), recipe.stochastic_depth)
    decay = iter(rates or ())
    layers: list[Any] = []
    for index, (inside, outside) in enumerate(pairs):
        block = normalised(nn, hidden(nn, inside, outside, recipe), nn.BatchNorm1d, outside, recipe)
        if recipe.stochastic_depth and index and inside == outside:
            block = [nn.StochasticDepth(nn.Sequential(*block), next(decay))]
        layers += block
        if recipe.dropout:
            layers.append(nn.Dropout(recipe.dropout))
    if recipe.dropout and not pairs:
        layers.append(nn.Dropout(recipe.dropout))
    return [*layers, nn.Linear(widths[-2], widths[-1])]


def hidden(nn: ModuleType, inside: int, outside: int, recipe: Recipe) -> Any:
    """A hidden layer, its activation in it unless BatchNorm comes between."""
    activation = None if recipe.batch_norm else recipe.activation
    if recipe.dropconnect:
        return nn.DropConnect(inside, outside, recipe.dropconnect, mask="batch", activation=activation,
                              bias=not recipe.batch_norm)
    return nn.Linear(inside, outside, activation=activation, bias=not recipe.batch_norm, init=start(recipe))


def start(recipe: Recipe) -> str | None:
    """The initialiser: that of the activation, also where BatchNorm stands before it."""
    return init.default_init(recipe.activation, None) if recipe.batch_norm else None


def normalised(nn: ModuleType, layer: Any, norm: Any, width: int, recipe: Recipe) -> list[Any]:
    """The layer, with BatchNorm and the activation behind it if that is wanted."""
    if not recipe.batch_norm:
        return [layer]
    return [layer, norm(width), nn.Linear(1, 1, activation=recipe.activation).activation]


def cnn(
    nn: ModuleType, image: tuple[int, int, int], channels: Sequence[int], widths: Sequence[int], recipe: Recipe,
) -> list[Any]:
    """Layers for images (channels, height, width): a convolution and a pool for each of ``channels``, then ``widths``.

    >>> from fastnn.networks import cnn, Recipe
    >>> import fastnn_ref
    >>> for layer in cnn(fastnn_ref, (1, 8, 8), (4,), (10,), Recipe()):
    ...     print(layer)
    Conv2d(1, 4, (3, 3), padding=(1, 1), activation=ReLU())
    MaxPool2d((2, 2), stride=(2, 2))
    Flatten()
    Linear(64, 10)
    """
    def convolution(inside: int, outside: int) -> list[Any]:
        activation = None if recipe.batch_norm else recipe.activation
        layer = nn.Conv2d(inside, outside, 3, padding=1, activation=activation, bias=not recipe.batch_norm,
                          init=start(recipe))
        return normalised(nn, layer, nn.BatchNorm2d, outside, recipe)

    residual = sum(a == b for a, b in itertools.pairwise(widths[:-1]))
    decay = nn.stochastic_depth_rates(len(channels) + residual, recipe.stochastic_depth) if channels else []
    layers: list[Any] = []
    colors, height, width = image
    for inside, outside, p in zip((colors, *channels[:-1]), channels, decay, strict=False):
        layers += [*convolution(inside, outside), nn.MaxPool2d(2)]
        if recipe.stochastic_depth:
            layers.append(nn.StochasticDepth(nn.Sequential(*convolution(outside, outside)), p))
        height, width = height // 2, width // 2
    if not height or not width:
        raise ValueError(f"channels: expected at most as many as the image can be halved, got {len(channels)}")
    features = (channels[-1] if channels else colors) * height * width
    chances = decay[len(channels):] if channels else None
    return [*layers, nn.Flatten(), *mlp(nn, (features, *widths), recipe, chances)]
