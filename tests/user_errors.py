"""Errors of a user, and the message of each: which argument, what was expected, what came.

USER_ERRORS: (name, call(nn), error, message). The message is the start of the text, the same in both packages; of the
two about names in a state it is a word in it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests import cases


class UserError(NamedTuple):
    name: str
    call: Callable[[Any], Any]
    error: type[Exception]
    message: str


V, T, R = ValueError, TypeError, RuntimeError
NAN, INF = float("nan"), float("inf")
X = np.linspace(-1, 1, 20).reshape(5, 4)
CLASSES = np.array([0, 1, 2, 1, 0])


class Closed:
    """Rows of a file that has been closed: h5py's raise such a ValueError."""

    def __array__(self, dtype=None, copy=None):
        raise ValueError("Not a dataset")


DATES = np.zeros((5, 4), "M8[s]")
MODELS_MADE: list[Any] = []  # the models that a call works with: an error must leave their parameters as they were


def net(nn):
    MODELS_MADE.append(nn.Sequential(nn.Linear(4, 7, activation="relu"), nn.Linear(7, 3), seed=0))
    return MODELS_MADE[-1]


def forward(x):
    return lambda nn: net(nn).forward(x)


def step(t, x=X, loss=lambda nn: nn.CrossEntropyLoss()):
    return lambda nn: net(nn).step(x, t, loss(nn), nn.SGD())


def epoch(**arguments):
    def call(nn):
        given = {"x": X, "t": CLASSES, "loss": nn.CrossEntropyLoss(), "optimizer": nn.SGD()} | arguments
        return net(nn).run_epoch(given.pop("x"), given.pop("t"), given.pop("loss"), given.pop("optimizer"), **given)

    return call


def step_with(optimizer):
    return lambda nn: net(nn).step(X, CLASSES, nn.CrossEntropyLoss(), optimizer(nn))


def epoch_with(optimizer):
    return lambda nn: net(nn).run_epoch(X, CLASSES, nn.CrossEntropyLoss(), optimizer(nn), batch_size=2)


def fit(**arguments):
    def call(nn):
        return net(nn).fit(X, CLASSES, **({"loss": nn.CrossEntropyLoss(), "optimizer": nn.SGD()} | arguments))

    return call


def named(name):
    def metric(y, t):
        return 0.0

    metric.__name__ = name
    return metric


def loss(cls, y, t, **arguments):
    return lambda nn: getattr(nn, cls)(**arguments).forward(y, t)


def made(cls, *args, **arguments):
    return lambda nn: getattr(nn, cls)(*args, **arguments)


def twice(nn):
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer)


def taken(nn):
    model = net(nn)
    return nn.Sequential(model.layers[0])


def taken_block(nn):
    model = net(nn)
    return nn.StochasticDepth(model.layers[0], 0.5)


def another_model(nn):
    optimizer = nn.Adam()
    net(nn).step(X, CLASSES, nn.CrossEntropyLoss(), optimizer)
    net(nn).step(X, CLASSES, nn.CrossEntropyLoss(), optimizer)


def inner(nn):
    model = net(nn)
    outer = nn.Sequential(model)
    outer.layers[0].step(X, CLASSES, nn.CrossEntropyLoss(), nn.SGD())


def wrong_dy(dy):
    def call(nn):
        model = net(nn)
        model.forward(X, training=True)
        model.backward(dy)

    return call


def state(change):
    def call(nn):
        model = net(nn)
        values = model.state_dict()
        change(values)
        model.load_state_dict(values)

    return call


def assign(name, value):
    return lambda nn: setattr(net(nn).layers[0], name, value)


def plateau_over_a_schedule(nn):
    fit(optimizer=nn.SGD(lr=nn.StepLR(0.1, 3)), callbacks=[nn.ReduceLROnPlateau(monitor="loss")])(nn)


def rows(**changed):
    t = np.full((5, 3), 1 / 3)
    for row, values in changed.items():
        t[int(row[1:])] = values
    return t


def targets(**changed):
    t = np.zeros((5, 3))
    for row, values in changed.items():
        t[int(row[1:])] = values
    return t


LAYERS = [
    ("no inputs", made("Linear", 0, 3), V, "in_features: expected an integer >= 1, got 0"),
    ("no outputs", made("Linear", 3, 0), V, "out_features: expected an integer >= 1, got 0"),
    ("negative width", made("Linear", -3, 4), V, "in_features: expected an integer >= 1, got -3"),
    ("half a width", made("Linear", 2.5, 4), T, "in_features: expected an integer >= 1, got 2.5"),
    ("width in words", made("Linear", "4", 4), T, "in_features: expected an integer >= 1, got '4'"),
    ("bool for a width", made("Linear", True, 4), T, "in_features: expected an integer >= 1, got True"),
    ("too many weights", made("Linear", 2**21, 2**20), V, "weight: expected at most 2**40 values, got"),
    ("weights overflow", made("Linear", 2**32, 2**32), V, "weight: expected at most 2**40 values, got"),
    ("width overflows", made("Linear", 1, 10**30), V, "weight: expected at most 2**40 values, got"),
    ("activation mistyped", made("Linear", 4, 3, activation="rleu"), V,
     "activation: unknown name 'rleu', did you mean 'relu'? known: identity, relu, relu6, leaky_relu, elu"),
    ("swish", made("Linear", 4, 3, "swish"), V, "activation: unknown name 'swish', did you mean 'silu'? known:"),
    ("a class of activation", lambda nn: nn.Linear(4, 3, nn.ReLU), T,
     "activation: expected one of identity, relu, relu6, leaky_relu"),
    ("Keras's Dense(8)", made("Linear", 8), T,
     "Linear: missing a required argument: 'out_features': Linear(in_features, out_features, activation=None,"),
    ("learning_rate", lambda nn: nn.SGD(learning_rate=0.1), T,
     "SGD: unexpected argument 'learning_rate', which is lr here: SGD(lr=0.01,"),
    ("rate", lambda nn: nn.Dropout(rate=0.1), T,
     "Dropout: unexpected argument 'rate', which is p here: Dropout(p=0.5)"),
    ("a near miss", lambda nn: nn.CrossEntropyLoss(label_smooth=0.1), T,
     "CrossEntropyLoss: unexpected argument 'label_smooth', which is label_smoothing here"),
    ("an argument of nobody", lambda nn: nn.L2(0.1, xyzzy=3), T, "L2: unexpected argument 'xyzzy': L2(strength"),
    ("too many arguments", lambda nn: nn.Dropout(0.1, 2), T, "Dropout: too many positional arguments: Dropout(p=0.5)"),
    ("a list of layers", lambda nn: nn.Sequential([nn.Linear(2, 3)]), T,
     "layers[0]: expected a Layer of fastnn, got list; pass them one by one, or with a star"),
    ("an optimizer's name", lambda nn: net(nn).fit(X, CLASSES, loss=nn.CrossEntropyLoss(), optimizer="adam"), T,
     "optimizer: expected an Optimizer of fastnn, got str; pass an object: Adam()"),
    ("an optimizer's class", lambda nn: net(nn).fit(X, CLASSES, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD), T,
     "optimizer: expected an Optimizer of fastnn, got the class fastnn.optim.SGD; pass an object: SGD()"),
    ("a loss's name", lambda nn: net(nn).fit(X, CLASSES, loss="cross_entropy", optimizer=nn.SGD()), T,
     "loss: expected a Loss of fastnn, got str; pass an object: CrossEntropyLoss()"),
    ("activation far off", made("Linear", 4, 3, "xyzzy"), V, "activation: unknown name 'xyzzy', known: identity, relu"),
    ("activation a number", made("Linear", 4, 3, activation=3), T, "activation: expected one of identity, relu"),
    ("activation a Linear", lambda nn: nn.Linear(4, 3, activation=nn.Linear(3, 3)), T,
     "activation: expected one of identity, relu"),
    ("bias a word", made("Linear", 4, 3, bias="no"), T, "bias: expected True or False, got 'no'"),
    ("init of another shape", made("Linear", 4, 3, init=np.ones((3, 4))), V, "init: expected (4, 3), got (3, 4)"),
    ("init a flag", made("Conv2d", 1, 2, 3, init=True), T, "init: expected a finite number, got True"),
    ("init of nan", made("DropConnect", 2, 1, init=[[1], [NAN]]), V, "init: expected finite numbers, got NaN"),
    ("init of a function", lambda nn: nn.Linear(2, 1, init=lambda shape, seed: np.ones(2))(np.ones((1, 2))), V,
     "init(shape, seed): expected (2, 1), got (2,)"),
    ("gain", made("Init", "ones", INF), V, "gain: expected a finite number, got inf"),
    ("init mistyped", made("Linear", 4, 3, init="he_unifrom"), V,
     "init: unknown name 'he_unifrom', did you mean 'he_uniform'? known:"),
    ("slope 0", made("LeakyReLU", 0), V, "negative_slope: expected a finite number > 0, got 0"),
    ("slope nan", made("LeakyReLU", NAN), V, "negative_slope: expected a finite number > 0, got nan"),
    ("slope a word", made("LeakyReLU", "steep"), T,
     "negative_slope: expected a finite number > 0, got 'steep'"),
    ("alpha 0", made("ELU", 0.0), V, "alpha: expected a finite number > 0, got 0.0"),
    ("alpha inf", made("ELU", INF), V, "alpha: expected a finite number > 0, got inf"),
    ("approximate mistyped", made("GELU", "tahn"), V,
     "approximate: unknown name 'tahn', did you mean 'tanh'? known: none, tanh"),
    ("weight of another shape", assign("weight", np.zeros((7, 4))), V, "weight: expected (4, 7), got (7, 4)"),
    ("bias of another shape", assign("bias", np.zeros(6)), V, "bias: expected (7,), got (6,)"),
]  # fmt: skip

IMAGES = [
    ("no kernel", made("Conv2d", 1, 2, 0), V, "kernel_size: expected an integer >= 1 and <= 1048576, got 0"),
    ("kernel of three", made("Conv2d", 1, 2, (3, 3, 3)), V,
     "kernel_size: expected an integer or a pair of integers, got (3, 3, 3)"),
    ("kernel a word", made("Conv2d", 1, 2, "3x3"), T,
     "kernel_size: expected an integer >= 1 and <= 1048576, got '3x3'"),
    ("stride 0", made("Conv2d", 1, 2, 3, stride=0), V, "stride: expected an integer >= 1 and <= 1048576, got 0"),
    ("padding negative", made("Conv2d", 1, 2, 3, padding=(1, -1)), V,
     "padding: expected an integer >= 0 and <= 1048576, got -1"),
    ("groups", made("Conv2d", 4, 6, 3, groups=3), V,
     "groups: expected a divisor of in_channels 4 and out_channels 6, got 3"),
    ("filters overflow", made("Conv2d", 2**15, 2**15, 2**10), V, "weight: expected at most 2**40 values, got"),
    ("conv of softmax", made("Conv2d", 1, 2, 3, activation="softmax"), V,
     "activation: expected one that works element by element, got 'softmax'"),
    ("conv of rows", lambda nn: nn.Conv2d(3, 2, 3).forward(np.zeros((2, 27))), V,
     "Conv2d: expected (3, h, w) per example, got (27,)"),
    ("conv of other channels", lambda nn: nn.Conv2d(3, 2, 3).forward(np.zeros((2, 1, 5, 5))), V,
     "Conv2d: expected (3, h, w) per example, got (1, 5, 5)"),
    ("image too small", lambda nn: nn.Conv2d(1, 2, 3, dilation=2).forward(np.zeros((2, 1, 5, 4))), V,
     "Conv2d: expected a padded image of at least (5, 5), the kernel's extent, got (5, 4)"),
    ("padding of three", made("Conv2d", 1, 2, 3, padding=(1, 1, 1)), V,
     "padding: expected an integer, a pair (height, width) or two pairs ((top, bottom), (left, right)), got (1, 1, 1)"),
    ("padding a side too many", made("Conv2d", 1, 2, 3, padding=((1, 1), (1, 1, 1))), V,
     "padding: expected an integer or a pair of integers, got (1, 1, 1)"),
    ("padding mistyped", made("Conv2d", 1, 2, 3, padding="sam"), V,
     "padding: unknown name 'sam', did you mean 'same'? known: same, valid"),
    ("padding same with a stride", made("Conv2d", 1, 2, 3, stride=2, padding="same"), V,
     "padding: expected numbers beside stride (2, 2), got 'same', which needs stride 1"),
    ("algorithm mistyped", made("Conv2d", 1, 2, 3, algorithm="winogard"), V,
     "algorithm: unknown name 'winogard', did you mean 'winograd'? known: direct, winograd"),
    ("winograd with a stride", made("Conv2d", 1, 2, 3, stride=2, algorithm="winograd"), V,
     "algorithm: expected kernel_size 3 or 5, stride and dilation 1 for 'winograd', got (3, 3), (2, 2), (1, 1)"),
    ("winograd of one pixel", made("Conv2d", 1, 2, 1, algorithm="winograd"), V,
     "algorithm: expected kernel_size 3 or 5, stride and dilation 1 for 'winograd', got (1, 1), (1, 1), (1, 1)"),
    ("winograd of two kernels", made("Conv2d", 1, 2, (3, 5), algorithm="winograd"), V,
     "algorithm: expected kernel_size 3 or 5, stride and dilation 1 for 'winograd', got (3, 5), (1, 1), (1, 1)"),
    ("padding same, transposed", made("ConvTranspose2d", 1, 2, 3, padding="same"), T,
     "padding: expected an integer >= 0 and <= 1048576, got 'same'"),
    ("output padding", made("ConvTranspose2d", 1, 2, 3, stride=2, output_padding=(1, 2)), V,
     "output_padding: expected less than stride (2, 2) or dilation (1, 1), got (1, 2)"),
    ("all taken away", lambda nn: nn.ConvTranspose2d(1, 2, 3, padding=2).forward(np.zeros((2, 1, 2, 5))), V,
     "ConvTranspose2d: expected an image that gives at least (1, 1), got (0, 3) for (2, 5): less padding, or a larger"),
    ("transposed of other channels", lambda nn: nn.ConvTranspose2d(3, 2, 3).forward(np.zeros((2, 1, 5, 5))), V,
     "ConvTranspose2d: expected (3, h, w) per example, got (1, 5, 5)"),
    ("no size", made("Upsample"), V, "size: expected either size or scale_factor, got neither"),
    ("two sizes", made("Upsample", 4, 2.0), V, "size: expected either size or scale_factor, got 4 and 2.0"),
    ("factor 0", made("Upsample", scale_factor=(2, 0)), V, "scale_factor: expected numbers > 0, got (2, 0)"),
    ("cubic", made("Upsample", 4, mode="bicubic"), V, "mode: unknown name 'bicubic'"),
    ("corners of nearest", made("Upsample", 4, align_corners=True), V,
     "align_corners: expected False beside mode 'nearest', got True"),
    ("made to nothing", lambda nn: nn.Upsample(scale_factor=0.2).forward(np.zeros((2, 1, 5, 4))), V,
     "Upsample: expected an image that gives at least (1, 1), got (1, 0) for (5, 4): a larger scale_factor"),
    ("upsampled rows", lambda nn: nn.Upsample(4).forward(np.zeros((2, 9))), V,
     "Upsample: expected (channels, h, w) per example, got (9,)"),
    ("no bins", made("AdaptiveAvgPool2d", (2, 0)), V, "output_size: expected an integer >= 1 and <= 1048576, got 0"),
    ("three bins", made("AdaptiveMaxPool2d", (2, 2, 2)), V,
     "output_size: expected an integer or a pair of integers, got (2, 2, 2)"),
    ("divisor 0", made("AvgPool2d", 2, divisor_override=0), V,
     "divisor_override: expected an integer >= 1 and <= 2147483648, got 0"),
    ("pool padding", made("MaxPool2d", 2, padding=2), V,
     "padding: expected less than the kernel's extent (2, 2), got 2"),
    ("pool of rows", lambda nn: nn.AvgPool2d(2).forward(np.zeros((2, 9))), V,
     "AvgPool2d: expected (channels, h, w) per example, got (9,)"),
    ("pool too large with ceil_mode", lambda nn: nn.MaxPool2d(3, 2, ceil_mode=True).forward(np.zeros((2, 1, 1, 5))), V,
     "MaxPool2d: expected a padded image of at least (2, 2), the kernel's extent - stride + 1, got (1, 5)"),
    ("pool too large", lambda nn: nn.MaxPool2d(3).forward(np.zeros((2, 1, 2, 5))), V,
     "MaxPool2d: expected a padded image of at least (3, 3), the kernel's extent, got (2, 5)"),
    ("linear behind images", lambda nn: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(10, 2)).forward(
        np.zeros((2, 1, 5, 5))), V, "Linear: expected (..., 10) per example, got (18,)"),
    ("linear without flatten", lambda nn: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(18, 2)).forward(
        np.zeros((2, 1, 5, 5))), V, "Linear: expected (..., 18) per example, got (2, 3, 3)"),
]  # fmt: skip

REGULARISERS = [
    ("l1 negative", made("L1", -1), V, "strength: expected a finite number >= 0, got -1"),
    ("l2 a word", made("L2", "much"), T, "strength: expected a finite number >= 0, got 'much'"),
    ("elastic net nan", made("ElasticNet", 0.1, NAN), V, "l2: expected a finite number >= 0, got nan"),
    ("l1 mode", made("L1", 0.1, mode="proximate"), V,
     "mode: unknown name 'proximate', did you mean 'proximal'? known: proximal, subgradient"),
    ("max-norm 0", made("MaxNorm", 0), V, "limit: expected a finite number > 0, got 0"),
    ("penalty a number", lambda nn: nn.Sequential(nn.Linear(2, 2), penalty=0.1), T,
     "penalty: expected a Penalty of fastnn, got float"),
    ("penalties of numbers", lambda nn: nn.Sequential(nn.Linear(2, 2), penalty=[nn.L1(0.1), 3]), T,
     "penalty: expected a Penalty of fastnn, got int"),
    *[(f"dropout {p}", made("Dropout", p), V, f"p: expected a finite number >= 0 and <= 1, got {p}")
      for p in (-0.1, 1.1, NAN)],
    ("dropout a word", made("Dropout", "half"), T, "p: expected a finite number >= 0 and <= 1, got 'half'"),
    ("noise negative", made("GaussianNoise", -0.1), V, "std: expected a finite number >= 0, got -0.1"),
    ("rotation negative", made("Augment", rotation=-5), V, "rotation: expected a finite number >= 0, got -5"),
    ("shift of three", made("Augment", shift=(1, 2, 3)), V,
     "shift: expected a number or a pair of numbers, got (1, 2, 3)"),
    ("zoom 1", made("Augment", zoom=1), V, "zoom: expected a finite number >= 0 and < 1, got 1"),
    ("shear 90", made("Augment", shear=90), V, "shear: expected a finite number >= 0 and < 90, got 90"),
    ("flip 2", made("Augment", flip=2), V, "flip: expected a finite number >= 0 and <= 1, got 2"),
    ("fill nan", made("Augment", fill=NAN), V, "fill: expected a finite number, got nan"),
    ("half a whole shift", made("Augment", shift=0.5, whole_shift=True), V,
     "shift: expected whole numbers beside whole_shift=True, got 0.5"),
    ("image shape of two", made("Augment", image_shape=(8, 8)), V,
     "image_shape: expected (channels, height, width), got (8, 8)"),
    ("augment rows", lambda nn: nn.Augment().forward(np.zeros((2, 9))), V,
     "Augment: expected (channels, h, w) per example, got (9,)"),
    ("augment rows of another size", lambda nn: nn.Augment(image_shape=(1, 3, 3)).forward(np.zeros((2, 8))), V,
     "x: expected (n, 9), got (2, 8)"),
    ("dropconnect of all", made("DropConnect", 3, 2, 1.0), V, "p: expected < 1 for inference='gaussian', got 1"),
    ("dropconnect mask", made("DropConnect", 3, 2, mask="exmaple"), V,
     "mask: unknown name 'exmaple', did you mean 'example'? known: example, batch"),
    ("dropconnect inference", made("DropConnect", 3, 2, inference="sample"), V,
     "inference: unknown name 'sample', known: gaussian, mean"),
    ("dropconnect samples", made("DropConnect", 3, 2, samples=0), V,
     "samples: expected an integer >= 1 and <= 1048576, got 0"),
    ("depth of no block", made("StochasticDepth", 3, 0.5), T, "block: expected a Layer of fastnn, got int"),
    ("depth of a block that narrows", lambda nn: nn.StochasticDepth(nn.Linear(4, 3), 0.5), V,
     "StochasticDepth: expected a block that keeps the shape (4,), got (3,) from Linear"),
    ("depth of a taken block", taken_block, V,
     "block: this Linear already belongs to a model; copy.deepcopy(layer) makes one of its own"),
    ("depth p", lambda nn: nn.StochasticDepth(nn.ReLU(), 1.5), V,
     "p: expected a finite number >= 0 and <= 1, got 1.5"),
    ("depth mode", lambda nn: nn.StochasticDepth(nn.ReLU(), 0.5, mode="rows"), V,
     "mode: unknown name 'rows', did you mean 'row'? known: batch, row"),
    ("no depth", lambda nn: nn.stochastic_depth_rates(0), V, "depth: expected an integer >= 1, got 0"),
    ("no features", made("BatchNorm1d", 0), V, "num_features: expected an integer >= 1, got 0"),
    ("features overflow", made("BatchNorm2d", 2**50), V, "num_features: expected at most 2**40 values, got"),
    ("norm eps", made("BatchNorm1d", 3, eps=0), V, "eps: expected a finite number > 0, got 0"),
    ("norm momentum", made("BatchNorm2d", 3, momentum=1.5), V,
     "momentum: expected a finite number >= 0 and <= 1, got 1.5"),
    ("norm too wide", lambda nn: nn.BatchNorm1d(3).forward(np.zeros((5, 4))), V, "x: expected (n, 3), got (5, 4)"),
    ("norm of no image", lambda nn: nn.BatchNorm2d(3).forward(np.zeros((5, 3))), V,
     "BatchNorm2d: expected (3, h, w) per example, got (3,)"),
    ("norm of other channels", lambda nn: nn.BatchNorm2d(3).forward(np.zeros((5, 4, 2, 2))), V,
     "BatchNorm2d: expected (3, h, w) per example, got (4, 2, 2)"),
    ("norm of one row", lambda nn: nn.BatchNorm1d(3).forward(np.zeros((1, 3)), training=True), V,
     "x: expected at least 2 rows in a training batch, to normalise over, got 1"),
    ("layer norm of nothing", made("LayerNorm", ()), V,
     "normalized_shape: expected an integer or a tuple of integers, got ()"),
    ("layer norm of 0", made("LayerNorm", (3, 0)), V, "normalized_shape: expected an integer >= 1, got 0"),
    ("layer norm too narrow", lambda nn: nn.LayerNorm(4).forward(np.zeros((5, 3))), V,
     "LayerNorm: expected (..., 4) per example, got (3,)"),
    ("layer norm by a word", made("LayerNorm", 3, elementwise_affine="yes"), T,
     "elementwise_affine: expected True or False, got 'yes'"),
    ("group norm of four in six", made("GroupNorm", 4, 6), V,
     "num_groups: expected a divisor of num_channels = 6, got 4"),
    ("group norm of no group", made("GroupNorm", 0, 6), V, "num_groups: expected an integer >= 1, got 0"),
    ("group norm of other channels", lambda nn: nn.GroupNorm(1, 1).forward(np.zeros((2, 4, 3, 3))), V,
     "GroupNorm: expected (1, ...) per example, got (4, 3, 3)"),
    ("flatten the batch", made("Flatten", 0), V,
     "start_dim: expected an axis from 1 on, or a negative one from the end, got 0, the batch's"),
    ("flatten from the batch's side", lambda nn: nn.Flatten(-3).forward(np.zeros((2, 3, 4))), V,
     "Flatten.start_dim: expected an axis of (n, 3, 4), got -3"),
    ("flatten backwards", lambda nn: nn.Flatten(2, 1).forward(np.zeros((2, 3, 4))), V,
     "Flatten: expected start_dim up to end_dim in (n, 3, 4), got 2 to 1"),
    ("an axis that is no number", lambda nn: nn.Flatten("a"), T, "start_dim: expected an integer, got 'a'"),
    ("ignored class no number", lambda nn: nn.CrossEntropyLoss(ignore_index="a"), T,
     "ignore_index: expected an integer or None, got 'a'"),
    ("ignored class too large", lambda nn: nn.CrossEntropyLoss(ignore_index=2**63), V,
     "ignore_index: expected an integer >= -4611686018427387904 and <= 4611686018427387904, got 9223372036854775808"),
    ("unflatten into what does not fit", lambda nn: nn.Unflatten(1, (4, -1)).forward(np.zeros((2, 6))), V,
     "Unflatten: expected unflattened_size to fit the 6 values of axis 1, got (4, -1)"),
    ("unflatten into twice what is left", made("Unflatten", 1, (-1, -1)), V,
     "unflattened_size: expected sizes >= 1, and -1 at most once, got (-1, -1)"),
    ("unflatten an axis that is not there", lambda nn: nn.Unflatten(3, (2, 2)).forward(np.zeros((2, 4))), V,
     "Unflatten.dim: expected an axis of (n, 4), got 3"),
    ("prelu without a slope", made("PReLU", 0), V, "num_parameters: expected an integer >= 1, got 0"),
    ("prelu from no number", made("PReLU", 3, init="ones"), T, "init: expected a finite number, got 'ones'"),
    ("prelu of other channels", lambda nn: nn.PReLU(3).forward(np.zeros((5, 4, 2))), V,
     "PReLU: expected (3, ...) per example, got (4, 2)"),
]  # fmt: skip

MODELS = [
    ("no layers", made("Sequential"), V, "layers: expected at least one layer, got none"),
    ("no layer", made("Sequential", 3), T, "layers[0]: expected a Layer of fastnn, got int"),
    ("class for a layer", lambda nn: nn.Sequential(nn.Linear(2, 2), nn.ReLU), T,
     "layers[1]: expected a Layer of fastnn, got the class fastnn.activation.ReLU"),
    ("chain broken", lambda nn: nn.Sequential(nn.Linear(64, 128), nn.Linear(100, 10)), V,
     "layers[1]: Linear expects (100,) per example, gets (128,) from layers[0]"),
    ("chain broken further on", lambda nn: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(6, 2)), V,
     "layers[2]: Linear expects (6,) per example, gets (5,) from layers[1]"),
    ("chain behind a Flatten", lambda nn: nn.Sequential(
        nn.Embedding(9, 4), nn.Linear(4, 5), nn.Flatten(), nn.Linear(15, 2)), V,
     "layers[3]: Linear expects (15,) per example, gets (5,) from layers[2]; where examples have more axes, "
     "input_shape= says so"),
    ("layer twice", twice, V, "layers[2]: this Linear already stands at layers[0]"),
    ("layer taken", taken, V,
     "layers[0]: this Linear already belongs to a model; copy.deepcopy(layer) makes one of its own"),
    ("seed of something", lambda nn: nn.Sequential(nn.ReLU(), seed={"weights": 1}), V,
     "seed: expected an integer, or a dict with keys of init, order, masks, got the keys weights"),
    ("one seed negative", lambda nn: nn.Sequential(nn.ReLU(), seed={"masks": -1}), V,
     "seed['masks']: expected an integer >= 0 and <= 18446744073709551615, got -1"),
    ("seed negative", lambda nn: nn.Sequential(nn.ReLU(), seed=-1), V,
     "seed: expected an integer >= 0 and <= 18446744073709551615, got -1"),
    ("seed too large", lambda nn: nn.Sequential(nn.ReLU(), seed=2**64), V,
     "seed: expected an integer >= 0 and <= 18446744073709551615, got"),
    ("seed a fraction", lambda nn: nn.Sequential(nn.ReLU(), seed=0.5), T,
     "seed: expected an integer >= 0 and <= 18446744073709551615, got 0.5"),
    ("integer model", lambda nn: nn.Sequential(nn.ReLU(), dtype="int32"), V,
     "dtype: expected float32 or float64, got"),
    ("half model", lambda nn: nn.Sequential(nn.ReLU(), dtype=np.float16), V,
     "dtype: expected float32 or float64, got"),
    ("no dtype", lambda nn: nn.Sequential(nn.ReLU(), dtype="flaot"), (V, T),
     "dtype: expected float32 or float64, got"),
    ("steps negative", lambda nn: setattr(net(nn), "steps", -1), V,
     "steps: expected an integer >= 0 and <= 4611686018427387904, got -1"),
    ("steps overflow", lambda nn: setattr(net(nn), "steps", 2**64), V,
     "steps: expected an integer >= 0 and <= 4611686018427387904, got 18446744073709551616"),
    ("backward first", lambda nn: net(nn).backward(np.ones((5, 3))), R,
     "backward: call forward(x) first, with training=True for the gradients of training"),
    ("backward after predict", lambda nn: (m := net(nn), m(X), m.predict(X), m.backward(np.ones((5, 3)))), R,
     "backward: call forward(x) first, with training=True for the gradients of training"),
    ("lone backward first", lambda nn: nn.ReLU().backward(np.ones((5, 3))), R,
     "backward: call forward(x) first, with training=True for the gradients of training"),
    ("input_gradient in words", lambda nn: net(nn).backward(np.ones((5, 3)), "yes"), T,
     "input_gradient: expected True or False, got 'yes'"),
    ("dy of another width", wrong_dy(np.ones((5, 4))), V, "dy: expected (5, 3), got (5, 4)"),
    ("dy of other rows", wrong_dy(np.ones((4, 3))), V, "dy: expected (5, 3), got (4, 3)"),
    ("dy of dates", wrong_dy(DATES[:, :3]), T, "dy: expected numbers, got dtype datetime64[s]"),
    ("dy flat", wrong_dy(np.ones(15)), V, "dy: expected (5, 3), got (15,)"),
    ("state lacks a name", state(lambda s: s.pop("0.bias")), V, "missing"),
    ("state has another name", state(lambda s: s.update({"2.weight": np.zeros(1)})), V, "unexpected"),
    ("state has another shape", state(lambda s: s.update({"1.bias": np.zeros(4)})), V,
     "state['1.bias']: expected (3,), got (4,)"),
    ("state is no dict", lambda nn: net(nn).load_state_dict([1, 2]), T,
     "state: expected a dict from name to array, got list"),
    ("state holds words", state(lambda s: s.update({"1.bias": ["a", "b", "c"]})), T,
     "state['1.bias']: expected numbers, got text"),
]  # fmt: skip

INPUTS = [
    ("x flat", forward(np.zeros(4)), V, "x: expected (n, 4), got (4,)"),
    ("x a number", forward(3.0), V, "x: expected (n, 4), got ()"),
    ("x too narrow", forward(np.zeros((5, 3))), V, "x: expected (n, 4), got (5, 3)"),
    ("x too deep", forward(np.zeros((5, 4, 1))), V, "x: expected (n, 4), got (5, 4, 1)"),
    ("x empty", forward(np.zeros((0, 4))), V, "x: expected at least one row, got (0, 4)"),
    ("x an empty list", forward([]), V, "x: expected (n, 4), got (0,)"),
    ("x without columns", forward(np.zeros((5, 0))), V, "x: expected (n, 4), got (5, 0)"),
    ("x of objects", forward(np.full((5, 4), None)), T, "x: expected numbers, got a missing value"),
    ("x of words", forward([["a", "b", "c", "d"]]), T, "x: expected numbers, got text; pandas.get_dummies"),
    ("x of objects that are numbers", forward(X.astype(object)), T,
     "x: expected numbers, got dtype object; .astype(float) converts"),
    ("one row as x", forward(X[0]), V, "x: expected (n, 4), got (4,); numpy.expand_dims(x, 0) is a batch of one"),
    ("images as x", forward(np.zeros((5, 2, 2))), V,
     "x: expected (n, 4), got (5, 2, 2); x.reshape(len(x), -1) or a Flatten"),
    ("one feature as x", lambda nn: nn.Linear(1, 2).forward(X[0]), V,
     "x: expected (n, 1), got (4,); numpy.expand_dims(x, 1) adds"),
    ("channels last", lambda nn: nn.Conv2d(3, 4, 3).forward(np.zeros((2, 8, 8, 3))), V,
     "Conv2d: expected (3, h, w) per example, got (8, 8, 3); channels come first: x.transpose(0, 3, 1, 2)"),
    ("grey images", lambda nn: nn.Conv2d(1, 4, 3).forward(np.zeros((2, 8, 8))), V,
     "Conv2d: expected (1, h, w) per example, got (8, 8); x[:, None] adds the axis"),
    ("x complex", forward(np.zeros((5, 4), complex)), T, "x: expected numbers, got dtype complex128"),
    ("x of dates", forward(np.zeros((5, 4), "M8[s]")), T, "x: expected numbers, got dtype datetime64[s]"),
    ("x of dates after numbers", lambda nn: (m := net(nn), m(X), m(DATES)), T,
     "x: expected numbers, got dtype datetime64[s]"),
    ("layer on dates after numbers", lambda nn: (m := nn.Linear(4, 3), m(X), m(DATES)), T,
     "x: expected numbers, got dtype datetime64[s]"),
    ("x a structure", forward(np.zeros((5, 4), [("a", "f4")])), T, "x: expected numbers, got dtype"),
    ("x ragged", forward([[1, 2, 3, 4], [1, 2]]), V, "x: expected an array of numbers, got rows of different lengths"),
    ("x of images of two sizes", forward([np.zeros((1, 4, 4)), np.zeros((1, 5, 5))]), V,
     "x: expected an array of numbers, got rows of different lengths"),
    ("x of rows of two lengths", forward([X[0], X[1][:2]]), V,
     "x: expected an array of numbers, got rows of different lengths"),
    ("x closed", forward(Closed()), V,
     "x: expected an array of numbers, got a Closed that cannot be read: Not a dataset"),
    ("t closed", step(Closed()), V, "t: expected an array of numbers, got a Closed that cannot be read: Not a dataset"),
    ("x of two inputs", forward((X, X)), V, "x: expected one array, got a tuple of 2; np.hstack puts several inputs"),
    ("x of two inputs, one narrower", lambda nn: net(nn).predict([X, X[:, :1]]), V,
     "x: expected one array, got a list of 2; np.hstack puts several inputs side by side, for branches that begin with "
     "a Select; np.stack makes a batch of examples"),
    ("x of two inputs, in a step", step(CLASSES, (X, X)), V, "x: expected one array, got a tuple of 2"),
    ("x of two inputs, in fit", lambda nn: net(nn).fit((X, X), CLASSES, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD()),
     V, "x: expected one array, got a tuple of 2"),
    ("x of two inputs, held out", fit(validation_data=((X, X), CLASSES)), V,
     "validation_data[0]: expected one array, got a tuple of 2"),
    ("x of two inputs, evaluated", lambda nn: net(nn).evaluate((X, X), CLASSES, nn.CrossEntropyLoss()), V,
     "x: expected one array, got a tuple of 2"),
    ("x None", forward(None), T, "x: expected numbers, got None"),
    ("x a dict", forward({"a": 1}), T, "x: expected numbers, got a dict"),
    ("no chunks", lambda nn: net(nn).predict(X, batch_size=0), V,
     "batch_size: expected an integer >= 1, got 0"),
    ("too few targets", step(CLASSES[:4]), V, "t: expected 5 targets, one for each row of x, got 4"),
    ("too many targets", step(np.zeros(6, int)), V, "t: expected 5 targets, one for each row of x, got 6"),
    ("class too large", step([0, 1, 2, 3, 0]), V, "t: expected class numbers from 0 to 2, got 3 at row 3"),
    ("class negative", step([0, 1, -1, 2, 0]), V, "t: expected class numbers from 0 to 2, got -1 at row 2"),
    ("class huge", step(np.array([0, 2**63, 0, 0, 0], np.uint64)), V,
     "t: expected class numbers from 0 to 2, got"),
    ("class a fraction", step([0, 1, 0.5, 2, 0]), V,
     "t: expected class numbers from 0 to 2, got 0.5 at row 2"),
    ("class nan", step([0, 1, 2, NAN, 0]), V, "t: expected class numbers from 0 to 2, got nan at row 3"),
    ("class inf", step([0, INF, 2, 1, 0]), V, "t: expected class numbers from 0 to 2, got inf at row 1"),
    ("classes as dates", step(DATES[:, 0]), T, "t: expected numbers, got dtype datetime64[s]"),
    ("dates to an epoch", epoch(t=DATES[:, 0]), T, "t: expected numbers, got dtype datetime64[s]"),
    ("classes in words", step(list("abcab")), T, "t: expected numbers, got text; sklearn.preprocessing.LabelEncoder"),
    ("rows that do not sum to 1", step(rows(r3=[0.2, 0.3, 0.3])), V,
     "t: expected rows that sum to 1, got 0.8 at row 3"),
    ("rows just off 1", step(rows(r3=[0.2, 0.3, 0.50001])), V,
     "t: expected rows that sum to 1, got 1.00001 at row 3"),
    ("rows hardly off 1", step(rows(r3=[0.2, 0.3, 0.500002])), V,
     "t: expected rows that sum to 1, got 1.000002 at row 3"),
    ("negative probability", step(rows(r2=[-0.5, 0.5, 1.0])), V, "t: expected probabilities >= 0, got -0.5 at row 2"),
    ("nan probability", step(rows(r2=[NAN, 0.5, 0.5])), V, "t: expected finite values, got nan at row 2"),
    ("rows of another width", step(np.full((5, 4), 0.25)), V,
     "t: expected class numbers (5,) or probabilities (5, 3), got (5, 4)"),
    ("targets too deep", step(np.zeros((5, 3, 1))), V,
     "t: expected class numbers (5,) or probabilities (5, 3), got (5, 3, 1)"),
]  # fmt: skip

LOSSES = [
    ("mse targets too few", step(targets()[:4], loss=lambda nn: nn.MSELoss()), V,
     "t: expected 5 targets, one for each row of x, got 4"),
    ("mse targets too narrow", step(np.zeros((5, 2)), loss=lambda nn: nn.MSELoss()), V,
     "t: expected (5, 3), got (5, 2)"),
    ("mse targets flat", step(np.zeros(5), loss=lambda nn: nn.MSELoss()), V, "t: expected (5, 3), got (5,)"),
    ("mse target nan", step(targets(r3=NAN), loss=lambda nn: nn.MSELoss()), V,
     "t: expected finite values, got nan at row 3"),
    ("l1 target inf", step(targets(r1=INF), loss=lambda nn: nn.L1Loss()), V,
     "t: expected finite values, got inf at row 1"),
    ("huber target nan", step(targets(r0=NAN), loss=lambda nn: nn.HuberLoss()), V,
     "t: expected finite values, got nan at row 0"),
    ("mse targets dates", step(DATES[:, :3], loss=lambda nn: nn.MSELoss()), T,
     "t: expected numbers, got dtype datetime64[s]"),
    ("mse of dates", loss("MSELoss", DATES[:, :3], targets()), T, "y: expected numbers, got dtype datetime64[s]"),
    ("mse target beyond float32", loss("MSELoss", np.zeros((5, 3), np.float32), targets(r3=1e300)), V,
     "t: expected values within the range of float32, got 1e+300 at row 3"),
    *[(f"{cls} float32 target {value}", loss(cls, np.zeros((5, 3), np.float32), np.float32(targets(r3=value))), V,
       f"t: expected finite values, got {value} at row 3")
      for cls in ("MSELoss", "L1Loss", "HuberLoss") for value in (INF, -INF, NAN)],
    ("bce target over 1", step(targets(r4=1.5), loss=lambda nn: nn.BCEWithLogitsLoss()), V,
     "t: expected values from 0 to 1, got 1.5 at row 4"),
    ("bce target nan", step(targets(r4=NAN), loss=lambda nn: nn.BCEWithLogitsLoss()), V,
     "t: expected finite values, got nan at row 4"),
    ("class weight negative", made("CrossEntropyLoss", class_weight=[1, -2]), V,
     "class_weight: expected finite numbers >= 0, got -2 at class 1"),
    ("class weights all 0", made("CrossEntropyLoss", class_weight=[0, 0]), V,
     "class_weight: expected a number > 0 among them, got zeros only"),
    ("class weights too few", step(CLASSES, loss=lambda nn: nn.CrossEntropyLoss(class_weight=[1, 2])), V,
     "class_weight: expected 3 numbers, one for each class, got 2"),
    ("sample weights too few", epoch(sample_weight=np.ones(4)), V,
     "sample_weight: expected (5,), one number for each row of x, got (4,)"),
    ("sample weight nan", epoch(sample_weight=[1, 2, NAN, 1, 1]), V,
     "sample_weight: expected finite numbers >= 0, got nan at row 2"),
    ("sample weight negative", fit(sample_weight=[1, 2, 3, 4, -1]), V,
     "sample_weight: expected finite numbers >= 0, got -1 at row 4"),
    ("sample weights of an infinite sum", epoch(sample_weight=np.full(5, 1e308)), V,
     "sample_weight: expected numbers with a finite sum, got inf"),
    ("validation weight negative", fit(validation_data=(X, CLASSES, [1, 2, 3, 4, -1])), V,
     "validation_data[2]: expected finite numbers >= 0, got -1 at row 4"),
    ("validation weights too few", fit(validation_data=(X, CLASSES, np.ones(4))), V,
     "validation_data[2]: expected (5,), one number for each row of validation_data[0], got (4,)"),
    ("bce smoothing", made("BCEWithLogitsLoss", 2), V,
     "label_smoothing: expected a finite number >= 0 and <= 1, got 2"),
    ("delta 0", made("HuberLoss", 0), V, "delta: expected a finite number > 0, got 0"),
    ("smoothing over 1", made("CrossEntropyLoss", 1.5), V,
     "label_smoothing: expected a finite number >= 0 and <= 1, got 1.5"),
    ("smoothing negative", made("CrossEntropyLoss", -0.1), V,
     "label_smoothing: expected a finite number >= 0 and <= 1, got -0.1"),
    ("smoothing nan", made("CrossEntropyLoss", NAN), V,
     "label_smoothing: expected a finite number >= 0 and <= 1, got nan"),
    *[(f"{cls} backward first", lambda nn, cls=cls: getattr(nn, cls)().backward(), R,
       "backward: call forward(y, t) first")
      for cls in dict.fromkeys(case.cls for case in cases.LOSSES)],
    ("class weight of no name", made("CrossEntropyLoss", class_weight="balance"), V,
     "class_weight: unknown name 'balance', did you mean 'balanced'?"),
    ("class weight label", made("CrossEntropyLoss", class_weight={-1: 2}), V,
     "class_weight's label: expected an integer >= 0 and <= 1048576, got -1"),
    ("class weight of a label", made("BCEWithLogitsLoss", class_weight={1: NAN}), V,
     "class_weight[1]: expected a finite number >= 0, got nan"),
    ("class weight of a label too far", step(CLASSES, loss=lambda nn: nn.CrossEntropyLoss(class_weight={3: 2})), V,
     "class_weight: expected labels from 0 to 2, got 3"),
    ("class weights of a binary loss", made("BCEWithLogitsLoss", class_weight=[1, 2, 3]), V,
     "class_weight: expected 2 numbers, one for each class, got 3"),
    *[(f"balanced alone, {cls}", step(t, loss=lambda nn, cls=cls: getattr(nn, cls)(class_weight="balanced")), V,
       "class_weight: expected numbers here, got 'balanced', which only fit can work out, from its targets")
      for cls, t in (("CrossEntropyLoss", CLASSES), ("BCEWithLogitsLoss", np.zeros((5, 3))))],
    ("balanced labels", lambda nn: net(nn).fit(
        X, np.zeros((5, 3)), loss=nn.BCEWithLogitsLoss(class_weight="balanced"), optimizer=nn.SGD()), V,
     "class_weight: expected one output for 'balanced', got (5, 3); pos_weight takes a number for each"),
    ("pos_weight beside class_weight", made("BCEWithLogitsLoss", class_weight=[1, 2], pos_weight=2), V,
     "pos_weight: expected None beside class_weight, which weighs the positive class, too"),
    ("pos_weight negative", made("BCEWithLogitsLoss", pos_weight=-1), V,
     "pos_weight: expected a finite number >= 0, got -1"),
    ("pos_weight of an output", made("BCEWithLogitsLoss", pos_weight=[1, INF]), V,
     "pos_weight: expected finite numbers >= 0, got inf at output 1"),
    ("pos_weight of other outputs", step(np.zeros((5, 3)), loss=lambda nn: nn.BCEWithLogitsLoss(pos_weight=[1, 2])), V,
     "pos_weight: expected a number for each output, for outputs (n, 2), got (n, 3)"),
    ("poisson target negative", step(targets(r2=-1), loss=lambda nn: nn.PoissonNLLLoss()), V,
     "t: expected values >= 0, got -1.0 at row 2"),
    ("poisson eps", made("PoissonNLLLoss", eps=0), V, "eps: expected a finite number > 0, got 0"),
    ("poisson log_input", made("PoissonNLLLoss", log_input=1), T, "log_input: expected True or False, got 1"),
    ("hinge target", step(targets(r2=0.5), loss=lambda nn: nn.HingeLoss()), V,
     "t: expected labels −1 and 1, or 0 and 1, got 0.5 at row 2"),
    ("hinge targets of both kinds", step([[0, 0, -1]] * 5, loss=lambda nn: nn.HingeLoss()), V,
     "t: expected labels −1 and 1, or 0 and 1, got 0 at row 0"),
    ("logits flat", loss("CrossEntropyLoss", np.zeros(5), CLASSES), V,
     "y: expected logits (n, K, ...), got (5,)"),
    ("logits of words", loss("CrossEntropyLoss", [["a"]], [0]), T, "y: expected numbers, got text"),
    ("no logits", loss("CrossEntropyLoss", np.zeros((0, 3)), []), V,
     "y: expected at least one row, got (0, 3)"),
    ("no classes", loss("CrossEntropyLoss", np.zeros((5, 0)), CLASSES), V,
     "y: expected at least one number in a row, got (5, 0)"),
]  # fmt: skip

KINDS = list(dict.fromkeys(case.cls for case in cases.OPTIMIZERS))
OPTIMIZERS = [
    *[(f"{cls} lr {lr}", made(cls, lr=lr), V, f"lr: expected a finite number >= 0, got {lr}")
      for cls in KINDS for lr in (-1, NAN, INF)],
    *[(f"{cls} decay", made(cls, weight_decay=-0.1), V,
       "weight_decay: expected a finite number >= 0, got -0.1")
      for cls in KINDS],
    *[(f"{cls} {name} {value}", made(cls, **{name: value}), V,
       f"{name}: expected a finite number > 0, got {value}")
      for cls in KINDS for name in ("clip_norm", "clip_value") for value in (0, -1)],
    *[(f"{cls} eps", made(cls, eps=0), V, "eps: expected a finite number > 0, got 0")
      for cls in KINDS if cls != "SGD"],
    ("lr a word", made("SGD", lr="fast"), T, "lr: expected a finite number >= 0, got 'fast'"),
    ("lr beyond float", made("SGD", lr=10**400), V, "lr: expected a finite number >= 0, got 1000"),
    ("momentum 1", made("SGD", momentum=1), V, "momentum: expected a finite number >= 0 and < 1, got 1"),
    ("nesterov without momentum", made("SGD", nesterov=True), V, "nesterov: expected momentum > 0, got 0"),
    ("nesterov a word", made("SGD", momentum=0.9, nesterov="yes"), T,
     "nesterov: expected True or False, got 'yes'"),
    *[(f"{cls} maximize a word", made(cls, maximize="yes"), T, "maximize: expected True or False, got 'yes'")
      for cls in KINDS],
    ("dampening 1", made("SGD", momentum=0.9, dampening=1), V,
     "dampening: expected a finite number >= 0 and < 1, got 1"),
    ("dampening alone", made("SGD", dampening=0.5), V, "dampening: expected 0 without momentum, got 0.5"),
    ("dampening with nesterov", made("SGD", momentum=0.9, nesterov=True, dampening=0.5), V,
     "dampening: expected 0 with nesterov, got 0.5"),
    ("lr_decay negative", made("Adagrad", lr_decay=-1), V, "lr_decay: expected a finite number >= 0, got -1"),
    ("start negative", made("Adagrad", initial_accumulator_value=-0.1), V,
     "initial_accumulator_value: expected a finite number >= 0, got -0.1"),
    ("rmsprop momentum 1", made("RMSprop", momentum=1), V, "momentum: expected a finite number >= 0 and < 1, got 1"),
    ("centered a number", made("RMSprop", centered=2), T, "centered: expected True or False, got 2"),
    ("amsgrad a word", made("AdamW", amsgrad="on"), T, "amsgrad: expected True or False, got 'on'"),
    ("rho 1", made("Adadelta", rho=1), V, "rho: expected a finite number >= 0 and < 1, got 1"),
    ("momentum_decay negative", made("NAdam", momentum_decay=-1), V,
     "momentum_decay: expected a finite number >= 0, got -1"),
    ("decoupled a word", made("NAdam", decoupled_weight_decay="yes"), T,
     "decoupled_weight_decay: expected True or False, got 'yes'"),
    ("find_lr to maximise", lambda nn: nn.find_lr(
        net(nn), X, CLASSES, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(maximize=True)), V,
     "optimizer: expected maximize=False, as the lowest loss is looked for, got True"),
    ("alpha over 1", made("RMSprop", alpha=1.5), V, "alpha: expected a finite number >= 0 and < 1, got 1.5"),
    ("beta 1", made("Adam", betas=(1.0, 0.9)), V, "betas[0]: expected a finite number >= 0 and < 1, got 1.0"),
    ("second beta", made("AdamW", betas=(0.9, -0.1)), V,
     "betas[1]: expected a finite number >= 0 and < 1, got -0.1"),
    ("one beta", made("Adam", betas=(0.9,)), T, "betas: expected a pair of numbers, got (0.9,)"),
    ("betas no pair", made("Adam", betas=0.9), T, "betas: expected a pair of numbers, got 0.9"),
    ("clip norm 0", lambda nn: nn.clip_grad_norm(net(nn), 0), V,
     "max_norm: expected a finite number > 0, got 0"),
    ("clip value 0", lambda nn: nn.clip_grad_value(net(nn), 0), V,
     "clip_value: expected a finite number > 0, got 0"),
    ("another model", another_model, V,
     "optimizer: this Adam already belongs to another model; make a new one"),
    ("not a model", lambda nn: nn.SGD().step(3), T, "model: expected a Layer of fastnn, got int"),
]  # fmt: skip

SCHEDULES = [
    ("constant negative", made("ConstantLR", -1), V, "lr: expected a finite number >= 0, got -1"),
    ("step size 0", made("StepLR", 0.1, 0), V, "step_size: expected an integer >= 1, got 0"),
    ("gamma 0", made("ExponentialLR", 0.1, 0), V, "gamma: expected a finite number > 0, got 0"),
    ("steps not known", lambda nn: nn.LinearLR(0.1)(0), V, "total_steps: expected the number of steps, which only fit"),
    ("no steps", made("CosineLR", 0.1, 0), V, "total_steps: expected an integer >= 1, got 0"),
    ("warm-up too long", made("CosineLR", 0.1, 10, warmup_steps=11), V,
     "warmup_steps: expected an integer >= 0 and <= 9, got 11"),
    ("floor too high", made("CosineLR", 0.1, 10, min_lr=0.2), V,
     "min_lr: expected a finite number >= 0 and <= 0.1, got 0.2"),
    ("pct over 1", made("OneCycleLR", 0.1, 10, pct_start=2), V,
     "pct_start: expected a finite number > 0 and < 1, got 2"),
    ("div 0", made("OneCycleLR", 0.1, 10, div_factor=0), V,
     "div_factor: expected a finite number >= 1, got 0"),
    ("plateau factor 1", made("ReduceLROnPlateau", factor=1.0), V,
     "factor: expected a finite number > 0 and < 1, got 1.0"),
    ("plateau patience", made("ReduceLROnPlateau", patience=-1), V,
     "patience: expected an integer >= 0, got -1"),
    ("patience negative", made("EarlyStopping", patience=-1), V, "patience: expected an integer >= 0, got -1"),
    ("stopping mode", made("EarlyStopping", mode="mni"), V,
     "mode: unknown name 'mni', did you mean 'min'? known: auto"),
    ("stopping criterion", made("EarlyStopping", criterion="QP"), V,
     "criterion: unknown name 'QP', known: patience, GL, PQ, UP"),
    ("GL of an accuracy", made("EarlyStopping", "val_accuracy", criterion="GL"), V,
     "criterion: expected 'patience' for a value that is to rise, got 'GL'"),
    ("stopping threshold", made("EarlyStopping", threshold=0), V, "threshold: expected a finite number > 0, got 0"),
    ("stopping on nothing", lambda nn: fit(callbacks=[nn.EarlyStopping()])(nn), V,
     "monitor: expected one of loss, got 'val_loss'"),
    *[(f"{name} with a rate {rate!r}", call(optimizer=lambda nn, rate=rate: nn.SGD(lr=lambda step: rate)), error,
       f"lr: expected a finite number >= 0, got {rate!r}")
      for name, call in (("step", step_with), ("epoch", epoch_with))
      for rate, error in ((-0.1, V), (NAN, V), (INF, V), ("0.1", T), (None, T), ([0.1], T))],
    ("plateau over a schedule", plateau_over_a_schedule, T,
     "ReduceLROnPlateau: expected an optimizer whose lr is a number, got StepLR(0.1, 3)"),
]  # fmt: skip

TRAINING = [
    ("batch 0", epoch(batch_size=0), V, "batch_size: expected an integer >= 1, got 0"),
    ("batch a fraction", epoch(batch_size=1.5), T, "batch_size: expected an integer >= 1, got 1.5"),
    ("shuffle a word", epoch(shuffle="yes"), T, "shuffle: expected True or False, got 'yes'"),
    ("no examples", epoch(x=X[:0], t=CLASSES[:0]), V, "x: expected at least one row, got (0, 4)"),
    ("lengths differ", epoch(t=CLASSES[:3]), V, "t: expected 5 targets, one for each row of x, got 3"),
    ("bad class at the end", epoch(t=[0, 1, 2, 0, 9], batch_size=2), V,
     "t: expected class numbers from 0 to 2, got 9 at row 4"),
    ("training an inner model", inner, V,
     "step: this Sequential stands inside another model; train that one"),
    ("loss a word", epoch(loss="mse"), T, "loss: expected a Loss of fastnn, got str"),
    ("optimizer a word", epoch(optimizer="adam"), T, "optimizer: expected an Optimizer of fastnn, got str"),
    ("optimizer a class", lambda nn: epoch(optimizer=nn.Adam)(nn), T,
     "optimizer: expected an Optimizer of fastnn, got the class fastnn.optim.Adam"),
    ("epochs negative", fit(epochs=-1), V, "epochs: expected an integer >= 0, got -1"),
    ("split 1", fit(validation_split=1.0), V, "validation_split: expected a finite number >= 0 and < 1, got 1.0"),
    ("split leaves nothing", fit(validation_split=0.1), V,
     "validation_split: expected to leave rows on both sides, got 0.1 of 5 rows"),
    ("rows to validate of no name", fit(validation_split=0.4, validation_rows="last"), V,
     "validation_rows: unknown name 'last', known: end, random, stratified"),
    ("rows to validate without a share", fit(validation_rows="random"), V,
     "validation_rows: expected 'end' without validation_split, got 'random'"),
    ("validation data no pair", fit(validation_data=X), T,
     "validation_data: expected (x, t) or (x, t, sample_weight), got ndarray"),
    ("metric mistyped", fit(metrics=["acuracy"]), V,
     "metrics: unknown name 'acuracy', did you mean 'accuracy'? known: accuracy"),
    ("metric named penalty", lambda nn: fit(metrics=[named("penalty")])(nn), V,
     "metrics: expected a name for each, got 'penalty' twice"),
    ("mixup negative", epoch(mixup=-1), V, "mixup: expected a finite number >= 0, got -1"),
    ("mixup beside weights", fit(mixup=0.2, sample_weight=np.ones(5)), V,
     "mixup: expected 0 beside sample_weight, got 0.2"),
    ("metric a number", fit(metrics=[3]), T, "metrics: expected names or functions, got 3"),
    ("callback a function", fit(callbacks=[print]), T,
     "callbacks: expected Callback objects, got <built-in function print>"),
]  # fmt: skip

BRANCHES = [
    ("no branch", made("Parallel"), V, "branches: expected at least one layer, got none"),
    ("branch a number", made("Parallel", 3), T, "branches[0]: expected a Layer of fastnn, got int"),
    ("merge mistyped", lambda nn: nn.Parallel(nn.ReLU(), merge="cat"), V, "merge: unknown name 'cat', did you mean"),
    ("branches that do not add", lambda nn: nn.Parallel(nn.Linear(4, 3), nn.Linear(4, 2), merge="add"), V,
     "branches[1]: expected (3,) per example, as branches[0] gives, got (2,)"),
    ("branches of other inputs", lambda nn: nn.Parallel(nn.Linear(4, 3), nn.Linear(5, 3)), V,
     "Linear: expected (..., 5) per example, got (4,)"),
    ("nothing selected", made("Select", 3, 3), V, "stop: expected an integer >= 4 and <= 1099511627777, got 3"),
    ("selected beyond the end", lambda nn: nn.Select(2, 5)(X), V,
     "Select: expected at least 5 features or channels per example, got (4,)"),
    ("embedding of nothing", made("Embedding", 0, 3), V, "num_embeddings: expected an integer >= 1"),
    ("a number without a row", lambda nn: nn.Embedding(3, 2)([[0, 3]]), V,
     "x: Embedding: expected whole numbers from 0 to 2, got 3 at row 0"),
    ("half a number", lambda nn: nn.Embedding(3, 2)([[0.5]]), V,
     "x: Embedding: expected whole numbers from 0 to 2, got 0.5 at row 0"),
    ("trainable a word", lambda nn: setattr(net(nn)[0], "trainable", "no"), T,
     "trainable: expected True or False, got 'no'"),
    ("lr_scale negative", lambda nn: setattr(net(nn), "lr_scale", -0.1), V,
     "lr_scale: expected a finite number >= 0, got -0.1"),
]

GROUPS = (LAYERS, IMAGES, REGULARISERS, MODELS, INPUTS, LOSSES, OPTIMIZERS, SCHEDULES, TRAINING, BRANCHES)
USER_ERRORS = [UserError(*entry) for group in GROUPS for entry in group]
