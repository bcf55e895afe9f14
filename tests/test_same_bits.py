"""A seed means the same for ever: what short trainings end with, to the last bit, against data/trained.json.

The engine promises the same bits on every instruction set with fused multiply-add (FMA) and for any number of
threads, so one hash holds for all of them (portable x86 has no FMA and is left out). The reference adds in BLAS's
order, which differs between machines: of it a norm and some values are kept, and compared with a tolerance. A
training's data are made of integers only. Where the final weights need a function of the C library (a cosine, a power,
a logarithm), another version of it may round otherwise; `library` says so. NumPy's own are not used where weights
follow from them: they round otherwise on a CPU with AVX-512. The engine takes one logarithm of the C library, in
double, for the value of a cross-entropy: it stands in the history, not in the weights, so the hashes of the two are
apart.

    python -m tests.test_same_bits              which trainings end otherwise than the file says
    python -m tests.test_same_bits --write      the same, and writes what they end with now
"""

import hashlib
import importlib
import json
import math
import pathlib
import platform
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.conftest import instruction_sets

FILE = pathlib.Path(__file__).parent / "data" / "trained.json"
DTYPES = ("float64", "float32")
pytestmark = pytest.mark.slow
REFERENCE_TOLERANCE = 1e-8      # of the norm; 16 steps or less turn rounding errors of 1e-16 into at most 1e-13 here
IS_ARM = platform.machine().lower() in ("aarch64", "arm64")
OF_THE_LIBRARY = ("history", "loss") if IS_ARM else ()          # its C library has a logarithm of its own
FMA = [name for name in instruction_sets() if name != "portable" or IS_ARM]


class Training(NamedTuple):
    """How a model is made and trained: the public API is used in TRAININGS and `train` only."""

    name: str
    layers: Callable[[Any], Any]                        # of the package; a tuple of layers
    shape: tuple[int, ...]                              # of one example
    optimizer: Callable[[Any], Any] = lambda nn: nn.SGD(lr=0.1)
    loss: Callable[[Any], Any] = lambda nn: nn.CrossEntropyLoss()
    targets: str = "classes"                            # classes, shares (rows that sum to 1), numbers, units (0 … 1)
    outputs: int = 3
    by: str = "fit"                                     # fit, run_epoch, step, hand
    fit: Callable[[Any], Any] = lambda nn: {}           # more arguments of fit or run_epoch
    penalty: Callable[[Any], Any] = lambda nn: None
    weighted: bool = False
    n: int = 20
    batch: int = 8
    epochs: int = 3
    seed: int = 7
    library: str = ""                                   # what else than the engine the final weights depend on


def integers(count: int, start: int) -> Any:
    """Whole numbers of 0 … 2¹⁶−1 that look random: the middle bits of a product."""
    i = np.arange(start, start + count, dtype=np.uint64)
    i = (i + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    i ^= i >> np.uint64(29)
    return (i * np.uint64(0xBF58476D1CE4E5B9)) >> np.uint64(48)


def fractions(shape: tuple[int, ...], start: int) -> Any:
    """Multiples of 1/128 in −2 … 2: exact in both dtypes."""
    return ((integers(math.prod(shape), start) % 513).astype(np.float64) - 256).reshape(shape) / 128


def targets(kind: str, n: int, k: int) -> Any:
    if kind == "classes":
        return (integers(n, 10**6) % np.uint64(k)).astype(np.int64)
    if kind == "numbers":
        return fractions((n, k), 10**6)
    units = (integers(n * k, 10**6) % np.uint64(65)).astype(np.float64).reshape(n, k) / 64
    if kind == "units":
        return units
    first = units[:, :1] / 2                            # two classes share what is 1, the others have 0
    return np.concatenate([first, 1 - first, np.zeros((n, k - 2))], axis=1)


def train(nn: Any, training: Training, dtype: str) -> tuple[dict[str, Any], Any, list[float]]:
    """Final state, predictions, and all that was noted on the way."""
    model = nn.Sequential(*training.layers(nn), seed=training.seed, dtype=dtype, penalty=training.penalty(nn))
    x = fractions((training.n, *training.shape), 0)
    t = targets(training.targets, training.n, training.outputs)
    weights = (integers(training.n, 2 * 10**6) % np.uint64(4)).astype(np.float64) / 2 if training.weighted else None
    loss, optimizer = training.loss(nn), training.optimizer(nn)
    more, noted = training.fit(nn), []
    if training.by == "fit":
        history = model.fit(x, t, loss=loss, optimizer=optimizer, epochs=training.epochs, batch_size=training.batch,
                            sample_weight=weights, **more)
        noted = [value for name in sorted(history.history) for value in history.history[name]]
    elif training.by == "run_epoch":
        noted = [model.run_epoch(x, t, loss, optimizer, training.batch, sample_weight=weights, **more)
                 for _ in range(training.epochs)]
    elif training.by == "step":
        noted = [model.step(x, t, loss, optimizer, weights) for _ in range(training.epochs)]
    else:
        for _ in range(training.epochs):
            noted.append(loss.forward(model.forward(x, training=True), t, weights))
            model.backward(loss.backward())
            noted.append(nn.clip_grad_norm(model, 0.7))
            nn.clip_grad_value(model, 0.1)
            optimizer.step(model)
    return model.state_dict(), model.predict(x), [float(value) for value in noted]


def mlp(*layers: Callable[[Any], Any], activation: Any = "tanh", **arguments: Any) -> Callable[[Any], Any]:
    """A layer of 7 units, what is tested, a layer of 3 outputs."""
    return lambda nn: (nn.Linear(5, 7, activation=activation, **arguments), *(f(nn) for f in layers), nn.Linear(7, 3))


def image(*layers: Callable[[Any], Any], channels: int = 4) -> Callable[[Any], Any]:
    """What is tested, then the mean of each channel and a layer of 3 outputs."""
    return lambda nn: (*(f(nn) for f in layers), nn.GlobalAvgPool2d(), nn.Linear(channels, 3))


def block(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(7, 9, activation="relu"), nn.Dropout(0.25), nn.Linear(9, 7))


def deep(mode: str) -> Callable[[Any], Any]:
    return lambda nn: (nn.Linear(5, 7),
                       *(nn.StochasticDepth(block(nn), p, mode=mode) for p in nn.stochastic_depth_rates(3, 0.5)),
                       nn.Linear(7, 3))


def connected(**arguments: Any) -> Callable[[Any], Any]:
    return lambda nn: (nn.DropConnect(5, 7, **arguments), nn.Linear(7, 3))


def activated(name: str, make: Callable[[Any], Any], library: str = "") -> Training:
    """An activation fused into a layer, and one on its own."""
    return Training(f"activation {name}", lambda nn: (nn.Linear(5, 7, activation=make(nn)), make(nn), nn.Linear(7, 3)),
                    (5,), library=library)


def optimized(name: str, make: Callable[[Any], Any], library: str = "") -> Training:
    return Training(f"optimizer {name}", mlp(activation="silu"), (5,), make, library=library)


def penalised(
    name: str, make: Callable[[Any], Any], optimizer: Callable[[Any], Any] = lambda nn: nn.SGD(lr=0.1, momentum=0.9),
    library: str = "",
) -> Training:
    return Training(f"penalty {name}", mlp(), (5,), optimizer, penalty=make, library=library)


def lost(name: str, make: Callable[[Any], Any], kind: str, **more: Any) -> Training:
    return Training(f"loss {name}", mlp(), (5,), loss=make, targets=kind, **more)


def scheduled(name: str, make: Callable[[Any], Any], library: str = "") -> Training:
    return Training(f"schedule {name}", mlp(), (5,), lambda nn: nn.SGD(lr=make(nn)), by="run_epoch", library=library)


IMAGE = (2, 6, 5)
POWER = "C library: a power or a cosine of the schedule"
ADAM = "C library: powers of the betas"
DRAWS = "C library and Python's math: logarithm, sine, cosine, exponential of what is drawn"

TRAININGS = [
    activated("identity", lambda nn: nn.Identity()),
    activated("relu", lambda nn: nn.ReLU()),
    activated("leaky_relu", lambda nn: nn.LeakyReLU(0.3)),
    activated("elu", lambda nn: nn.ELU(0.7)),
    activated("silu", lambda nn: nn.SiLU()),
    activated("gelu", lambda nn: nn.GELU()),
    activated("gelu tanh", lambda nn: nn.GELU(approximate="tanh")),
    activated("softplus", lambda nn: nn.Softplus()),
    activated("tanh", lambda nn: nn.Tanh()),
    activated("sigmoid", lambda nn: nn.Sigmoid()),
    activated("softmax", lambda nn: nn.Softmax()),
    activated("log_softmax", lambda nn: nn.LogSoftmax(), "C library: a logarithm"),
    Training("init he_normal", mlp(init="he_normal"), (5,)),
    Training("linear without bias", mlp(bias=False), (5,), batch=7),
    Training("linear on two threads", lambda nn: (nn.Linear(192, 160, activation="gelu"), nn.Linear(160, 3)), (192,),
             n=150, batch=130, epochs=1),
    Training("nested", lambda nn: (nn.Linear(5, 7), nn.Sequential(nn.SiLU(), nn.Sequential(nn.Linear(7, 9), nn.Tanh()),
             penalty=nn.L2(0.05)), nn.Linear(9, 3)), (5,), penalty=lambda nn: nn.L1(0.01)),

    Training("conv", image(lambda nn: nn.Conv2d(2, 4, 3, padding=1, activation="relu")), IMAGE),
    Training("conv strided dilated grouped", image(
        lambda nn: nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=2, dilation=(1, 2), groups=2, bias=False)), IMAGE),
    Training("conv on two threads", image(lambda nn: nn.Conv2d(3, 16, 3, padding=1, activation="silu"),
             lambda nn: nn.Conv2d(16, 20, 3, stride=2, padding=1), channels=20), (3, 14, 14), n=35, batch=35, epochs=1),
    Training("winograd", image(lambda nn: nn.Conv2d(2, 4, 3, padding=1, activation="relu", algorithm="winograd"),
             lambda nn: nn.Conv2d(4, 4, 5, padding=2, groups=2, bias=False, algorithm="winograd")), IMAGE, n=37,
             batch=19),
    Training("winograd on two threads", image(
        lambda nn: nn.Conv2d(3, 36, 3, padding=1, activation="silu", algorithm="winograd"),
        lambda nn: nn.Conv2d(36, 20, 3, padding=1, algorithm="winograd"), channels=20), (3, 14, 14), n=35, batch=35,
        epochs=1),
    Training("max pool", lambda nn: (nn.Conv2d(2, 4, 2), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(24, 3)), IMAGE),
    Training("average pool", lambda nn: (nn.Conv2d(2, 4, 2), nn.AvgPool2d(3, 2, 1), nn.Flatten(), nn.Linear(24, 3)),
             IMAGE, n=37, batch=19),
    Training("batch norm 1d", mlp(lambda nn: nn.BatchNorm1d(7, momentum=0.3), activation=None, bias=False), (5,),
             n=24),
    Training("batch norm 2d", image(lambda nn: nn.Conv2d(2, 4, 3, bias=False), lambda nn: nn.BatchNorm2d(4),
             lambda nn: nn.ReLU()), IMAGE, n=37, batch=19),
    Training("layer norm", mlp(lambda nn: nn.LayerNorm(7), lambda nn: nn.GELU(), activation=None), (5,)),
    Training("layer norm of images", image(lambda nn: nn.LayerNorm((6, 5)), lambda nn: nn.Conv2d(2, 4, 3)), IMAGE),

    Training("dropout", mlp(lambda nn: nn.Dropout(0.3)), (5,)),
    Training("dropout of images", image(lambda nn: nn.Dropout(0.3), lambda nn: nn.Conv2d(2, 4, 3)), IMAGE),
    Training("gaussian noise", mlp(lambda nn: nn.GaussianNoise(0.3)), (5,)),
    Training("dropconnect example, relu", connected(p=0.3, activation="relu"), (5,)),
    Training("dropconnect batch, mean", connected(p=0.6, mask="batch", inference="mean", activation="gelu"), (5,)),
    Training("dropconnect sampled", connected(p=0.3, mask="batch", activation="tanh", samples=9), (5,)),
    Training("stochastic depth batch", deep("batch"), (5,), seed=2**63 + 5),
    Training("stochastic depth row", deep("row"), (5,)),
    *(Training(f"augment {name}", image(lambda nn, a=arguments: nn.Augment(**a), lambda nn: nn.Conv2d(2, 4, 3)),
               IMAGE, library=DRAWS)
      for name, arguments in {
          "rotation": {"rotation": 30.0}, "shift": {"shift": (1.5, 0.5)},
          "zoom and shear": {"zoom": 0.3, "shear": 20.0}, "flip": {"flip": 0.5},
          "brightness, contrast": {"brightness": 0.3, "contrast": 0.4}, "noise": {"noise": 0.1},
          "erase": {"erase": 0.75}}.items()),
    Training("augment of rows", lambda nn: (nn.Augment(rotation=20.0, shift=1.0, noise=0.1, image_shape=(1, 5, 4)),
             nn.Linear(20, 3)), (20,), library=DRAWS),

    optimized("sgd", lambda nn: nn.SGD(lr=0.1, weight_decay=0.05)),
    optimized("momentum", lambda nn: nn.SGD(lr=0.05, momentum=0.9)),
    optimized("nesterov", lambda nn: nn.SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01)),
    optimized("dampening", lambda nn: nn.SGD(lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.1, maximize=True)),
    optimized("adagrad", lambda nn: nn.Adagrad(lr=0.05, lr_decay=0.5, initial_accumulator_value=0.1, weight_decay=0.1)),
    optimized("rmsprop", lambda nn: nn.RMSprop(lr=0.01, alpha=0.7, weight_decay=0.1)),
    optimized("rmsprop centered", lambda nn: nn.RMSprop(lr=0.01, alpha=0.7, centered=True, momentum=0.5)),
    optimized("adadelta", lambda nn: nn.Adadelta(weight_decay=0.1)),
    optimized("adam", lambda nn: nn.Adam(lr=0.02, betas=(0.6, 0.8), weight_decay=0.1), ADAM),
    optimized("adamw", lambda nn: nn.AdamW(lr=0.02, weight_decay=0.5), ADAM),
    optimized("amsgrad", lambda nn: nn.Adam(lr=0.02, betas=(0.6, 0.8), amsgrad=True), ADAM),
    optimized("nadam", lambda nn: nn.NAdam(lr=0.02, weight_decay=0.1), ADAM),
    optimized("clipped norm", lambda nn: nn.SGD(lr=0.5, clip_norm=0.3)),
    optimized("clipped value", lambda nn: nn.Adam(lr=0.02, clip_value=0.06), ADAM),
    penalised("l1 proximal", lambda nn: nn.L1(0.05)),
    penalised("l1 proximal, adam", lambda nn: nn.L1(0.05), lambda nn: nn.Adam(lr=0.05), ADAM),
    penalised("l1 subgradient, biases", lambda nn: nn.L1(0.05, mode="subgradient", biases=True)),
    penalised("l2", lambda nn: nn.L2(0.1)),
    penalised("elastic net, biases", lambda nn: nn.ElasticNet(0.02, 0.1, biases=True)),
    penalised("max-norm", lambda nn: (nn.L2(0.01), nn.MaxNorm(0.7))),

    lost("mse", lambda nn: nn.MSELoss(), "numbers"),
    lost("l1", lambda nn: nn.L1Loss(), "numbers"),
    lost("huber", lambda nn: nn.HuberLoss(0.35), "numbers"),
    lost("binary cross-entropy, smoothed", lambda nn: nn.BCEWithLogitsLoss(label_smoothing=0.2), "units"),
    lost("cross-entropy, smoothed, class weights",
         lambda nn: nn.CrossEntropyLoss(label_smoothing=0.1, class_weight=[0.5, 2.0, 1.25]), "classes"),
    lost("cross-entropy of shares", lambda nn: nn.CrossEntropyLoss(), "shares"),
    lost("sample weights", lambda nn: nn.CrossEntropyLoss(), "classes", weighted=True),
    lost("sample weights, mse, run_epoch", lambda nn: nn.MSELoss(), "numbers", weighted=True, by="run_epoch"),

    scheduled("step", lambda nn: nn.StepLR(0.25, step_size=4, gamma=0.5)),
    scheduled("exponential", lambda nn: nn.ExponentialLR(0.25, gamma=0.9), POWER),
    scheduled("cosine", lambda nn: nn.CosineLR(0.25, total_steps=9, warmup_steps=3), POWER),
    scheduled("one-cycle", lambda nn: nn.OneCycleLR(0.25, total_steps=9), POWER),
    Training("plateau and early stopping", mlp(), (5,), lambda nn: nn.SGD(lr=1.5), epochs=8, fit=lambda nn: {
        "validation_split": 0.25, "metrics": ["accuracy"], "shuffle": False, "callbacks": [
            nn.ReduceLROnPlateau(patience=1, factor=0.5), nn.EarlyStopping(patience=3)]}),
    Training("mixup", mlp(), (5,), fit=lambda nn: {"mixup": 0.4}, library=DRAWS),
    Training("shards", mlp(lambda nn: nn.BatchNorm1d(7), lambda nn: nn.Dropout(0.3)), (5,), n=40, batch=16,
             fit=lambda nn: {"shards": 4, "drop_last": True}),
    Training("step", mlp(), (5,), by="step", weighted=True, epochs=5),
    Training("loop by hand, clipped", mlp(), (5,), lambda nn: nn.SGD(lr=0.5), by="hand", epochs=5),
    Training("much at once", lambda nn: (
        nn.Augment(shift=1.0, noise=0.1), nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.MaxPool2d(2), nn.StochasticDepth(nn.Conv2d(8, 8, 3, padding=1, activation="gelu"), 0.3), nn.Dropout(0.2),
        nn.Flatten(), nn.DropConnect(128, 16, 0.3, activation="relu"), nn.LayerNorm(16), nn.Linear(16, 3)), (1, 8, 8),
        lambda nn: nn.AdamW(lr=nn.CosineLR(0.01, 12, 2), clip_norm=1.0), lambda nn: nn.CrossEntropyLoss(0.1),
        penalty=lambda nn: (nn.ElasticNet(0.001, 0.01), nn.MaxNorm(1.5)), fit=lambda nn: {"mixup": 0.4}, n=40, batch=20,
        epochs=2, library=DRAWS),
]  # fmt: skip
NAMES = [training.name for training in TRAININGS]


def bits(values: Any) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(value).tobytes() for value in values)).hexdigest()[:32]


def engine(training: Training, dtype: str) -> dict[str, str]:
    """What the engine's training ends with; names give the order of the values and do not count otherwise."""
    state, predicted, noted = train(importlib.import_module("fastnn"), training, dtype)
    assert all(np.isfinite(value).all() for value in (*state.values(), predicted, noted))
    return {"state": bits(state[name] for name in sorted(state)), "predictions": bits([predicted]),
            "history": bits([np.array(noted)]), "loss": noted[-1].hex()}


def reference(training: Training) -> dict[str, Any]:
    """Norm of the final state and of the predictions, a few values of each, and the last loss, in float64."""
    state, predicted, noted = train(importlib.import_module("fastnn_ref"), training, "float64")
    found: dict[str, Any] = {}
    for name, values in (("state", np.concatenate([state[name].ravel() for name in sorted(state)])),
                         ("predictions", predicted.ravel())):
        some = values[np.arange(4) * (len(values) - 1) // 3]
        found[name] = [float(np.linalg.norm(values)), *map(float, some)]
    return {**found, "loss": noted[-1]}


def stored() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def drifted(found: dict[str, Any], kept: dict[str, Any]) -> list[str]:
    """The names of what is farther from what was kept than rounding explains."""
    return [name for name, values in found.items()
            if name not in kept or not np.allclose(values, kept[name], rtol=0,
                                                   atol=REFERENCE_TOLERANCE * max(1, np.max(np.abs(kept[name]))))]


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return stored()


def test_the_file_has_these_trainings(kept: dict[str, Any]) -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert list(kept) == NAMES, "python -m tests.test_same_bits --write"


@pytest.mark.parametrize("training", TRAININGS, ids=NAMES)
@pytest.mark.parametrize("isa", FMA, indirect=True)
def test_engine(training: Training, isa: str, threads: Callable[[int], None], kept: dict[str, Any]) -> None:
    for dtype in DTYPES:
        for count in (1, 2):
            threads(count)
            found, wanted = engine(training, dtype), kept[training.name][dtype]
            other = [name for name in wanted if found[name] != wanted[name] and name not in OF_THE_LIBRARY]
            note = f"; it depends on {training.library}" if training.library else ""
            assert not other, f"{training.name}: {', '.join(other)} in {dtype}, {isa}, {count} threads{note}"


@pytest.mark.parametrize("training", TRAININGS, ids=NAMES)
def test_reference(training: Training, kept: dict[str, Any]) -> None:
    found, wanted = reference(training), kept[training.name]["reference"]
    assert not drifted(found, wanted), f"{training.name}: {found}, kept: {wanted}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_another_seed_gives_other_bits(dtype: str) -> None:
    for training in TRAININGS:
        if training.name in ("dropout", "conv", "mixup"):
            one, two = engine(training, dtype), engine(training._replace(seed=training.seed + 1), dtype)
            assert all(one[name] != two[name] for name in one)


def main(arguments: list[str]) -> int:
    nn = importlib.import_module("fastnn")
    if nn.isa() not in FMA:
        sys.exit(f"the hashes are those of an instruction set with FMA, this is {nn.isa()}")
    old, new = stored(), {}
    for training in TRAININGS:
        now = {dtype: engine(training, dtype) for dtype in DTYPES} | {"reference": reference(training)}
        before = old.get(training.name)
        if before is None:
            print(f"new      {training.name}")
        else:
            changed = [f"{dtype} {name}" for dtype in DTYPES for name in now[dtype]
                       if now[dtype][name] != before[dtype].get(name)]
            changed += [f"reference {name}" for name in drifted(now["reference"], before["reference"])]
            if changed:
                print(f"changed  {training.name}: {', '.join(changed)}")
            if not any(name.startswith("reference") for name in changed):
                now["reference"] = before["reference"]  # rounding differs between machines: no change worth a line
        new[training.name] = now
    for name in old:
        if name not in new:
            print(f"gone     {name}")
    if "--write" in arguments:
        rows = (f"{json.dumps(name)}: {{\n" + ",\n".join(f"  {json.dumps(part)}: {json.dumps(what)}"
                                                        for part, what in found.items()) + "\n}"
                for name, found in new.items())
        FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8", newline="\n")
        print(f"{len(new)} trainings written")
        return 0
    return int(new != old)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
