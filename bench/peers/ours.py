"""fastnn and fastnn_ref: the same code for both, ``name`` says which."""

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bench.nets import Net, Work, package
from tests.cases import Array, LossCase, Named

Size = tuple[int, int, int]
Make = Callable[[Any], Any]
SEEDS, ROWS = 32, 1000         # models that are trained at once, and the examples of an epoch
EXAMPLES, PARAMETERS = (1024, 100), 512 * 512       # of a loss; of an optimizer: 1 MB in each of up to four arrays


def step(name: str, net: Net, penalty: Named | None = None) -> Work:
    """``model.step``: one call."""
    nn, (x, t) = package(name), net.data()
    model, loss, optimizer = net.build(nn, penalty=penalty and penalty.make(nn)), nn.CrossEntropyLoss(), nn.Adam()
    return lambda: model.step(x, t, loss, optimizer)


def hand(name: str, net: Net) -> Work:
    """The same step, written out; x wants no gradient, as PyTorch's does not."""
    nn, (x, t) = package(name), net.data()
    model, loss, optimizer = net.build(nn), nn.CrossEntropyLoss(), nn.Adam()

    def work() -> Any:
        y = model.forward(x, training=True)
        value = loss.forward(y, t)
        model.backward(loss.backward(), input_gradient=False)
        optimizer.step(model)
        return value

    return work


def twenty_batches(net: Net) -> tuple[Array, Array]:
    """Twenty batches in one array, x and class numbers."""
    x, t = net.data()
    return np.concatenate([x] * 20), np.tile(t, 20)


def epoch(name: str, net: Net, **options: float) -> Work:
    """What ``fit`` runs once an epoch: shuffle, gather, step."""
    nn, (x, t) = package(name), twenty_batches(net)
    model, loss, optimizer = net.build(nn), nn.CrossEntropyLoss(), nn.Adam()
    return lambda: model.run_epoch(x, t, loss, optimizer, batch_size=net.batch, **options)


def whole_batches(net: Net) -> tuple[Array, Array]:
    """As many whole batches as there are in ROWS examples, x and class numbers."""
    x, t = net._replace(batch=ROWS // net.batch * net.batch).data()
    return x, t


def epochs_of(net: Net) -> int:
    """How many epochs a seed trains for: of a small network one is over before the second thread has begun."""
    return 20 if len(net.shape) == 1 else 1


def seeds(name: str, net: Net) -> Work:
    """SEEDS models train: each of the threads takes its share, one after another; returns their last losses."""
    nn, (x, t) = package(name), whole_batches(net)
    models, loss, workers = [net.build(nn, seed) for seed in range(SEEDS)], nn.CrossEntropyLoss, nn.get_num_threads()
    jobs, crew = [(model, loss(), nn.Adam()) for model in models], ThreadPoolExecutor(workers)
    shares = [jobs[SEEDS * i // workers:SEEDS * (i + 1) // workers] for i in range(workers)]

    def train(share: list[tuple[Any, Any, Any]]) -> list[float]:
        return [[model.run_epoch(x, t, loss, optimizer, net.batch, shuffle=False) for _ in range(epochs_of(net))][-1]
                for model, loss, optimizer in share]

    def work() -> Array:
        nn.set_num_threads(1)
        return np.concatenate(list(crew.map(train, shares)))

    return work


def predict(name: str, net: Net) -> Work:
    """One batch, forward only, by what is made for serving, as a session of onnxruntime is."""
    predictor, (x, _) = net.build(package(name)).predictor(), net.data()
    return lambda: predictor(x)


def served(net: Net) -> int:
    """How many predictions make a call: of single examples more, as the time to wake the threads was a third of it."""
    return 4096 if net.batch == 1 else 256


def serve(name: str, net: Net, callers: int) -> Work:
    """So many predictions by one predictor, shared between so many of Python's threads, which stay."""
    predictor, (x, _), crew = net.build(package(name)).predictor(), net.data(), ThreadPoolExecutor(callers)

    def some(count: int) -> Any:
        for _ in range(count):
            y = predictor(x)
        return y

    return lambda: [*crew.map(some, [served(net) // callers] * callers)].pop()


def operands(size: Size, dtype: str) -> tuple[Array, ...]:
    """x (n, k), W (k, m), b (m,) and dy (n, m) of relu(x @ W + b)."""
    n, k, m = size
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=shape).astype(dtype) for shape in ((n, k), (k, m), (m,), (n, m)))


def product(name: str, size: Size, dtype: str, back: bool) -> Work:
    """A Linear layer with relu: y, or y, dx, dW and db."""
    nn, (x, w, b, dy) = package(name), operands(size, dtype)
    model = nn.Sequential(nn.Linear(size[1], size[2], activation="relu"), dtype=dtype)
    layer = model.layers[0]
    layer.weight, layer.bias = w, b

    def work() -> tuple[Array, ...]:
        y = model.forward(x, training=True)
        dx = model.backward(dy)
        return y, dx, layer.grads["weight"], layer.grads["bias"]

    return work if back else lambda: model.forward(x)


def alone(nn: Any, make: Make, shape: tuple[int, ...]) -> tuple[Any, Array, Array]:
    """A model of one layer, x and dy."""
    rng, model = np.random.default_rng(0), nn.Sequential(make(nn), seed=0, dtype="float32")
    x = rng.normal(size=shape).astype(np.float32)
    return model, x, rng.normal(size=(shape[0], *model.output_shape(shape[1:]))).astype(np.float32)


def layer(name: str, make: Make, shape: tuple[int, ...]) -> Work:
    """A layer alone in a model, forward and backward."""
    model, x, dy = alone(package(name), make, shape)

    def work() -> tuple[Array, Array]:
        model.steps = 0                         # the same masks each time
        return model.forward(x, training=True), model.backward(dy)

    return work


def loss_data(case: LossCase) -> tuple[Array, Array]:
    """Outputs and targets."""
    rng = np.random.default_rng(0)
    y, t = rng.normal(size=EXAMPLES).astype(np.float32), case.targets(rng, *EXAMPLES)
    return y, t if t.dtype.kind == "i" else t.astype(np.float32)


def loss(name: str, case: LossCase) -> Work:
    """Value and gradient."""
    found, (y, t) = case.make(package(name)), loss_data(case)
    return lambda: (found.forward(y, t), found.backward())


def one_weight(nn: Any) -> Any:
    """A model of one weight matrix of so many PARAMETERS."""
    side = math.isqrt(PARAMETERS)
    return nn.Sequential(nn.Linear(side, side, bias=False), seed=0, dtype="float32")


def optimizer(name: str, case: Named) -> Work:
    """An update of one large weight, which is returned."""
    model, found = one_weight(package(name)), case.make(package(name))
    model.layers[0].grads["weight"][...] = 0.01

    return lambda: (found.step(model), model.layers[0].weight)[1]


CANDIDATES: dict[str, dict[str, Any]] = {
    function.__name__: {name: functools.partial(function, name) for name in ("fastnn_ref", "fastnn")}
    for function in (step, hand, epoch, predict, product, layer, loss, optimizer)
}
CANDIDATES["seeds"] = {"fastnn": functools.partial(seeds, "fastnn")}
CANDIDATES["mixup"] = {name: functools.partial(build, mixup=0.4) for name, build in CANDIDATES["epoch"].items()}
CANDIDATES["serve"] = {f"fastnn {callers} caller{'s' * (callers > 1)}": functools.partial(
    serve, "fastnn", callers=callers) for callers in (1, 2)}
CANDIDATES["isa"] = {f"fastnn {isa}": CANDIDATES["step"]["fastnn"] for isa in package("fastnn._kernels").available()}
