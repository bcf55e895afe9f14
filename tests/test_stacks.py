"""Random stacks of layers: the engine's plan of memory and layouts fits any of them, in any order of batch sizes.

A stack is drawn for an input shape, each layer such that it takes what the one before gives: convolutions, pools,
norms, random masks, Sequentials inside, residual blocks, branches. The engine must agree with the reference, and a
model that went through batches and predictions of other sizes must give the bits of a fresh one.

    FASTNN_STACKS=5000 python -m pytest tests/test_stacks.py        other stacks than the usual ones, and more
"""

import math
import os
from typing import Any, NamedTuple

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

import fastnn
import fastnn_ref
from tests.check import close, inner_lengths, normal, randomise_biases, same, same_parameters

EXAMPLES = os.environ.get("FASTNN_STACKS")
SMOOTH = ("silu", "gelu", "tanh", "sigmoid", "softplus", "elu")
WITH_A_CORNER = ("relu", "leaky_relu")
LAYERS = {"silu": "SiLU", "gelu": "GELU", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus", "elu": "ELU",
          "relu": "ReLU", "leaky_relu": "LeakyReLU"}


class Recipe(NamedTuple):
    """A layer of either package: its class, arguments, and the layers inside."""

    cls: str
    arguments: dict[str, Any]
    inside: tuple["Recipe", ...] = ()

    def make(self, nn: Any) -> Any:
        return getattr(nn, self.cls)(*(each.make(nn) for each in self.inside), **self.arguments)

    def has_corner(self) -> bool:
        """Is its derivative not continuous? Rounding to float32 may then choose the other side."""
        return (self.cls in ("ReLU", "LeakyReLU", "PReLU", "MaxPool2d", "AdaptiveMaxPool2d")
                or self.arguments.get("activation") in WITH_A_CORNER or any(each.has_corner() for each in self.inside))


PROBABILITY = st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0])
WIDTH = st.sampled_from([1, 2, 3, 7, 16, 17, 33])
CHANNELS = st.integers(1, 5)
ACTIVATION = st.sampled_from([None, *SMOOTH, *WITH_A_CORNER])
BATCH = st.sampled_from([3, 4, 7, 8, 15, 16, 17, 24, 33, 40])
ANY_BATCH = st.one_of(st.sampled_from([1, 2]), BATCH)


@st.composite
def anywhere(draw, shape):
    """A layer that keeps any shape. ε is large, so that few values of nearly the same size do no harm."""
    name = draw(st.sampled_from(["activation", "Softmax", "LogSoftmax", "Dropout", "GaussianNoise", "BatchNorm",
                                 "LayerNorm", "GroupNorm", "PReLU", "Identity"]))
    if name == "activation":
        return Recipe(LAYERS[draw(ACTIVATION.filter(bool))], {})
    if name == "Dropout":
        return Recipe(name, {"p": draw(PROBABILITY)})
    if name == "GaussianNoise":
        return Recipe(name, {"std": 0.1})
    if name == "BatchNorm":
        return Recipe(f"BatchNorm{'1d' if len(shape) == 1 else '2d'}", {"num_features": shape[0], "eps": 0.1})
    if name == "GroupNorm":
        groups = draw(st.sampled_from([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
        return Recipe(name, {"num_groups": groups, "num_channels": shape[0], "eps": 0.1,
                             "affine": draw(st.booleans())})
    if name == "PReLU":
        return Recipe(name, {"num_parameters": draw(st.sampled_from([1, shape[0]]))})
    if name == "LayerNorm":
        return Recipe(name, {"normalized_shape": shape[draw(st.integers(0, len(shape) - 1)):], "eps": 0.1})
    return Recipe(name, {})


@st.composite
def windows(draw, shape):
    """Convolution, pool, or what makes images larger."""
    name = draw(st.sampled_from(["Conv2d", "Conv2d", "MaxPool2d", "AvgPool2d", "ConvTranspose2d", "Adaptive",
                                 "Upsample"]))
    if name == "Adaptive":
        kind = draw(st.sampled_from(["AdaptiveMaxPool2d", "AdaptiveAvgPool2d"]))
        return Recipe(kind, {"output_size": (draw(st.integers(1, 4)), draw(st.integers(1, 4)))})
    if name == "Upsample":
        mode = draw(st.sampled_from(["nearest", "bilinear"]))
        return Recipe(name, {"size": (draw(st.integers(1, 8)), draw(st.integers(1, 8))), "mode": mode})
    kernel = tuple(draw(st.integers(1, min(3, side))) for side in shape[1:])
    stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    if "Pool" in name:
        padding = tuple((draw(st.integers(0, side - 1)), draw(st.integers(0, side // 2))) for side in kernel)
        return Recipe(name, {"kernel_size": kernel, "stride": stride, "padding": padding,
                             "ceil_mode": draw(st.booleans())})
    if name == "ConvTranspose2d":
        padding = tuple((0, draw(st.integers(0, side - 1))) for side in kernel)
        return Recipe(name, {
            "in_channels": shape[0], "out_channels": draw(st.integers(1, 3)), "kernel_size": kernel, "stride": stride,
            "padding": padding, "bias": draw(st.booleans()), "activation": draw(ACTIVATION)})
    padding = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    dilation = tuple(draw(st.integers(1, 2)) if 2 * (k - 1) < side + 2 * p else 1
                     for k, side, p in zip(kernel, shape[1:], padding, strict=True))
    groups = draw(st.sampled_from([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
    return Recipe(name, {
        "in_channels": shape[0], "out_channels": groups * draw(st.integers(1, 3)), "kernel_size": kernel,
        "stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": draw(st.booleans()),
        "activation": draw(ACTIVATION),
    })  # fmt: skip


@st.composite
def blocks(draw, shape):
    """Layers that give back the shape they get, for a residual block."""
    found = [draw(anywhere(shape))]
    if len(shape) == 1:
        width = draw(WIDTH)
        found += [Recipe("Linear", {"in_features": shape[0], "out_features": width, "activation": draw(ACTIVATION)}),
                  Recipe("Linear", {"in_features": width, "out_features": shape[0], "bias": draw(st.booleans())})]
    else:
        found.append(Recipe("Conv2d", {"in_channels": shape[0], "out_channels": shape[0], "kernel_size": 3,
                                       "padding": 1, "activation": draw(ACTIVATION)}))
    return Recipe("Sequential", {}, tuple(draw(st.permutations(found)) if len(shape) > 1 else found))


@st.composite
def layers(draw, shape, depth):
    """One layer for ``shape``."""
    kind = draw(st.sampled_from(["anywhere", "anywhere", "own", "own", "own", "residual", "Sequential", "flat",
                                 "Parallel"]))
    if kind == "residual":
        mode = draw(st.sampled_from(["batch", "row"]))
        return Recipe("StochasticDepth", {"p": draw(PROBABILITY), "mode": mode}, (draw(blocks(shape)),))
    if kind == "Parallel":
        merge = draw(st.sampled_from(["concat", "add"]))
        branches = draw(st.lists(blocks(shape), min_size=1, max_size=3))
        if merge == "concat" and draw(st.booleans()):
            start = draw(st.integers(0, shape[0] - 1))
            branches.append(Recipe("Select", {"start": start, "stop": draw(st.integers(start + 1, shape[0]))}))
        return Recipe(kind, {"merge": merge}, tuple(draw(st.permutations(branches))))
    if kind == "Sequential" and depth:
        return Recipe(kind, {}, tuple(draw(stacks(shape, depth - 1))))
    if len(shape) == 3 and kind == "flat":
        return Recipe(draw(st.sampled_from(["Flatten", "GlobalAvgPool2d"])), {})
    if len(shape) == 3 and kind == "own":
        return draw(windows(shape))
    if kind == "own":
        arguments = {"in_features": shape[0], "out_features": draw(WIDTH), "activation": draw(ACTIVATION)}
        if draw(st.integers(0, 3)):
            return Recipe("Linear", {**arguments, "bias": draw(st.booleans())})
        mask = draw(st.sampled_from(["example", "batch"]))
        return Recipe("DropConnect", {**arguments, "p": draw(PROBABILITY), "mask": mask, "inference": "mean"})
    return draw(anywhere(shape))


@st.composite
def stacks(draw, shape, depth=1):
    """One to six layers."""
    found = []
    for _ in range(draw(st.integers(1, 6 if depth else 3))):
        found.append(draw(layers(shape, depth)))
        shape = found[-1].make(fastnn_ref).output_shape(shape)
    return found


IMAGE = st.tuples(CHANNELS, st.integers(1, 7), st.integers(1, 7))
SHAPES = st.one_of(IMAGE, IMAGE, st.tuples(WIDTH))


def passes(model, x, dtype):
    """y, dx and the gradients of a training pass, by name."""
    y = model.forward(x.astype(dtype), training=True)
    dx = model.backward(normal(y.shape, dtype, seed=1))
    return {"y": y, "dx": dx} | {f"gradient of {name}": gradient.copy() for name, gradient in model.grads.items()}


@settings(max_examples=int(EXAMPLES or 30), derandomize=EXAMPLES is None)
@given(data=st.data(), shape=SHAPES, dtype=st.sampled_from(["float32", "float64"]), sizes=st.lists(
    st.tuples(BATCH, ANY_BATCH), min_size=2, max_size=4))
def test_any_stack(data, shape, dtype, sizes):
    stack = data.draw(stacks(shape))
    layout = "images" if len(shape) == 3 else "rows"
    event(f"{layout}, {len(stack)} layers, {dtype}")

    def make(nn, dtype):
        return nn.Sequential(*(each.make(nn) for each in stack), seed=3, dtype=dtype)

    engine, book = make(fastnn, dtype), make(fastnn_ref, "float64")
    randomise_biases(engine)
    book.load_state_dict(engine.state_dict())
    values_only = dtype == "float32" and any(each.has_corner() for each in stack)
    inner = inner_lengths(book, (max(n for n, _ in sizes), *shape)) + 10 * len(stack)

    def agree(what, got, want, largest=1.0):
        """``largest``: of the whole pass, because sums may cancel; a bias before a norm has the gradient 0."""
        if not (values_only and what.startswith(("dx", "gradient"))):
            close("layer", got, want, inner * max(largest, np.abs(want).max(initial=0.0)), what)

    for n, m in sizes:
        x, z = normal((n, *shape)), normal((m, *shape), seed=2)
        fresh = make(fastnn, dtype)
        fresh.load_state_dict(engine.state_dict())
        fresh.steps = engine.steps
        got, want, again = passes(engine, x, dtype), passes(book, x, "float64"), passes(fresh, x, dtype)
        largest = max(np.abs(values).max(initial=1.0) for values in want.values())
        for what in want:
            agree(what, got[what], want[what], largest)
            same(got[what], again[what], f"{what} of a fresh model")
        same_parameters(engine, fresh)
        for name, value in book.state_dict().items():
            agree(name, engine.state_dict()[name], value)
        prediction = engine.predict(z.astype(dtype), batch_size=math.ceil(m / 2))
        agree("prediction", prediction, book(z))
        same(fresh(z.astype(dtype)), prediction, "prediction of a fresh model")
    if any(value.size for value in engine.params.values()):
        trained = []
        for nn, model in ((fastnn, engine), (fastnn_ref, book)):
            optimizer, t = nn.SGD(lr=1e-3, momentum=0.9), normal(book(x).shape, seed=4)
            trained.append([model.step(x, t, nn.MSELoss(), optimizer) for _ in range(2)])
        if not values_only:
            agree("loss", np.array(trained[0], dtype), np.array(trained[1]))
            for name, value in book.state_dict().items():
                agree(f"trained {name}", engine.state_dict()[name], value)
