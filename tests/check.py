"""The instruments: tolerances, gradient check, engine against book, guarded buffers, a fresh interpreter.

Every tolerance is derived and stands in the one table C: |got - want| <= C[kind] · eps(got.dtype) · scale;
scale is

    product        K · (|A| @ |B|), K the inner length: each of K fused multiply-adds rounds by at most eps/2
    elementwise    the size of the result and of what a rounded input does to it
    layer          ΣK · the largest element: a layer or a net, ΣK the inner lengths of all its sums
    sum            the sum of the absolute summands: losses and norms, accumulated in float64
    difference     eps^(-1/3) · Σ|y·dy|: a step of length h = eps^(1/3) loses eps/h to rounding and h² to the curve
    step           what one update adds to a parameter, and the parameter
    training       steps · the largest parameter: rounding of a step, carried through the next ones

`pytest tests --worst` prints the worst quotient of a run for the column on the right.
"""

import ctypes
import functools
import math
import mmap
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.cases import Array, Case

C = {  # kind: c       worst seen
    "product": 1.0,  # 0.55
    "elementwise": 8.0,  # 5.9
    "layer": 4.0,  # 1.5
    "sum": 3.0,  # 1.1
    "difference": 5.0,  # 3.7
    "step": 3.0,  # 1.2
    "training": 4.0,  # 1.2
}
_worst = dict.fromkeys(C, 0.0)
TINY = {np.dtype(d): float(np.finfo(d).tiny) for d in ("float32", "float64")}


def seen() -> dict[str, tuple[float, float]]:
    """kind -> (limit, worst quotient so far)."""
    return {kind: (C[kind], _worst[kind]) for kind in C}


def close(kind: str, got: Any, want: Any, scale: Any, note: str = "") -> None:
    """Assert |got - want| <= C[kind] · eps · scale everywhere, NaN and infinities in the same places."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{note}: shape {got.shape}, wanted {want.shape}"
    assert np.isfinite(scale).all(), f"{note}: a scale of {scale} allows any error"
    eps = np.finfo(got.dtype).eps
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.abs(got.astype(np.float64) - want.astype(np.float64))
        limit = eps * np.asarray(scale, np.float64)
        equal = (got == want) | (np.isnan(got) & np.isnan(want))
        quotient = np.where(equal, 0.0, np.nan_to_num(error / limit, nan=np.inf))
    worst = quotient.max(initial=0.0)
    _worst[kind] = max(_worst[kind], float(worst)) if worst <= C[kind] else _worst[kind]
    if worst > C[kind]:
        at = np.unravel_index(quotient.argmax(), quotient.shape)
        raise AssertionError(
            f"{note or kind}: {(quotient > C[kind]).sum()} of {got.size} off; at {tuple(map(int, at))} "
            f"got {got[at]!r}, wanted {want[at]!r}, {worst:.3g} units where {C[kind]:g} are allowed"
        )


def same(got: Any, want: Any, note: str = "") -> None:
    """Assert equal bits (NaN equals NaN, -0.0 does not equal 0.0)."""
    got, want = np.asarray(got), np.asarray(want)
    assert (got.dtype, got.shape) == (want.dtype, want.shape), note
    bits = f"u{got.dtype.itemsize}"
    wrong = np.ascontiguousarray(got).view(bits) != np.ascontiguousarray(want).view(bits)
    wrong &= ~((got != got) & (want != want))
    assert not wrong.any(), f"{note}: {wrong.sum()} of {got.size} differ, first at {np.argwhere(wrong)[0]}"


def same_parameters(a: Any, b: Any) -> None:
    """Assert that two models hold the same names and the same bits."""
    a, b = a.state_dict(), b.state_dict()
    assert list(a) == list(b)
    for name in a:
        same(a[name], b[name], name)


def readonly(values: Any, dtype: npt.DTypeLike | None = None) -> Array:
    """A read-only copy: whoever writes into it raises."""
    values = np.array(values, dtype=dtype)
    values.flags.writeable = False
    return values


def normal(shape: tuple[int, ...], dtype: npt.DTypeLike = "float64", seed: int = 0) -> Array:
    """Read-only normal numbers, the same in both dtypes but for rounding to float32."""
    drawn = _normal if math.prod(shape) < 10_000 else _normal.__wrapped__
    return readonly(drawn(tuple(shape), seed), dtype)


@functools.lru_cache(2000)
def _normal(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def inputs(case: Case, dtype: npt.DTypeLike = "float64") -> Array:
    """Read-only inputs for a case: normal numbers, or whole ones."""
    if not case.numbers:
        return normal(case.shape, dtype)
    return readonly(np.random.default_rng(0).integers(case.numbers, size=case.shape), dtype)


# ---- gradients ----


SAMPLES = 8  # elements of a tensor
EXAMPLES = 5  # of a batch


def derivatives(f: Callable[[], float], x: Array, gradient: Array) -> tuple[Array, Array]:
    """(what ``gradient`` says, central differences of f()): by elements of x, and along two ways in which all move.

    All elements of a small x, else the first, the last and some more; an error of any other one shows in the two ways,
    each of random signs. x is changed in place and put back.
    """
    random, size = np.random.default_rng(x.size), x.size
    places = range(size) if size <= 2 * SAMPLES else [0, size - 1, *random.choice(size, SAMPLES, replace=False)]
    steps = [np.eye(1, size, place).reshape(x.shape) * max(1.0, abs(x.flat[place])) for place in places]
    steps += [random.choice([-1.0, 1.0], x.shape) / np.sqrt(size) for _ in range(2 if size > 1 else 0)]
    said, found, before = [], [], x.copy()
    for step in steps:
        h = np.cbrt(np.finfo(np.float64).eps) * step
        above, below = before + h, before - h
        x[...] = above
        high = f()
        x[...] = below
        length = np.sqrt(((above - below) ** 2).sum())
        found.append((high - f()) / length)
        said.append((gradient * (above - below)).sum() / length)
        x[...] = before
    return np.array(said), np.array(found)


def randomise_biases(model: Any) -> None:
    """Biases, and scales that start from 1, get values of their own: at 0 and 1 their mistakes do not show."""
    for index, (_, value, _, decays) in enumerate(model.parameters()):
        if not decays:
            value[...] = 0.75 + 0.25 * normal(value.shape, seed=7 + index)


def randomise_statistics(model: Any) -> None:
    """Running means and variances get values of their own, as after some training."""
    trained = {name for name, *_ in model.parameters()}
    for index, (name, value) in enumerate(model.state_dict().items()):
        if name not in trained:
            model.set_parameter(name, 0.75 + 0.25 * normal(value.shape, seed=17 + index) ** 2)


def gradients(model: Any, x: Array, training: bool = True) -> Iterator[tuple[str, Array, Array, float]]:
    """(name, derivatives, differences, scale) of Σ y·dy of a float64 model by x and by every parameter.

    In training at the same step each time: so random masks stay what they are.
    """
    x = np.array(x, np.float64)
    randomise_biases(model)
    if not training:
        randomise_statistics(model)
    step = model.steps
    y = model.forward(x, training=training)
    dy = normal(y.shape, seed=1)
    found = {"x": (x, model.backward(dy))}
    found |= {name: (value, gradient.copy()) for name, value, gradient, _ in model.parameters()}

    def value() -> float:
        model.steps = step
        return float((model.forward(x, training=training) * dy).sum())

    scale = float(np.finfo(np.float64).eps ** (-1 / 3) * (np.abs(y * dy).sum() + np.abs(dy).max()))
    for name, (moving, gradient) in found.items():
        assert gradient.shape == moving.shape, name
        yield name, *derivatives(value, moving, gradient), scale


def check_gradient(model: Any, x: Array, training: bool = True) -> None:
    """dx and every parameter's gradient against differences; of the first examples: no formula changes behind them."""
    for name, gradient, numeric, scale in gradients(model, x[:EXAMPLES], training):
        close("difference", gradient, numeric, scale, f"gradient of {name}")


# ---- engine against reference ----


def inner_lengths(model: Any, shape: tuple[int, ...]) -> int:
    """Σ of the inner lengths of all sums: an example, the batch, and what leads to an output of each layer."""
    return math.prod(shape[1:]) + shape[0] + sum(
        (len(value) if value.ndim == 2 else value[0].size) + 1 for _, value, _, decays in model.parameters() if decays)


def side_by_side(ref: Any, fast: Any, case: Case, dtype: npt.DTypeLike) -> Iterator[tuple[str, Array, Array, int]]:
    """(what, the engine's in dtype, the book's in float64, Σ of inner lengths), from the same bits.

    Forward and backward in training, what they left behind, then forward and backward at prediction.
    """
    engine = fast.Sequential(case.make(fast), seed=5, dtype=dtype)
    book = ref.Sequential(case.make(ref), seed=5, dtype="float64")
    randomise_biases(engine)
    book.load_state_dict(engine.state_dict())
    x = inputs(case, dtype)
    y = engine.forward(x, training=True)
    dy = normal(y.shape, dtype, seed=1)
    dx = engine.backward(dy)
    assert y.dtype == dx.dtype == dtype
    inner = inner_lengths(book, case.shape)
    yield "y", y, book.forward(x, training=True), inner
    yield "dx", dx, book.backward(dy), inner
    for (name, _, got, _), (_, _, want, _) in zip(engine.parameters(), book.parameters(), strict=True):
        yield f"gradient of {name}", got, want, inner
    state, expected = engine.state_dict(), book.state_dict()
    for name in expected:
        yield f"state {name}", state[name], expected[name], inner
    yield "prediction", engine(x), book(x), inner
    yield "prediction's dx", engine.backward(dy), book.backward(dy), inner
    for (name, _, got, _), (_, _, want, _) in zip(engine.parameters(), book.parameters(), strict=True):
        yield f"prediction's gradient of {name}", got, want, inner


def check_against_reference(ref: Any, fast: Any, case: Case, dtype: npt.DTypeLike) -> None:
    """The engine in dtype against the book in float64."""
    for what, got, want, inner in side_by_side(ref, fast, case, dtype):
        close("layer", got, want, inner * np.abs(want).max(), f"{case.name}: {what}")


# ---- guarded buffers ----

GUARD = 64  # elements on either side: more than any vector


def guarded(values: Array, gap: int = 0) -> tuple[Array, Callable[[], bool]]:
    """(view, intact): a copy of a 2-D array whose surroundings, and `gap` elements between its rows, are NaN.

    A kernel that reads past its operand brings a NaN into the result; intact() says whether one wrote there.
    """
    m, n = values.shape
    buffer = np.full(2 * GUARD + m * (n + gap), np.nan, values.dtype)
    view = buffer[GUARD : GUARD + m * (n + gap)].reshape(m, n + gap)[:, :n]
    view[...] = values
    bits = buffer.view(f"u{buffer.itemsize}")
    inside = np.zeros(buffer.shape, bool)
    inside[GUARD : GUARD + m * (n + gap)].reshape(m, n + gap)[:, :n] = True
    before = bits[~inside].copy()
    return view, lambda: np.array_equal(bits[~inside], before)


def before_the_wall(values: Array) -> Array:
    """A copy at the end of its page, before a page that nobody may touch: one element too far is a crash.

    For a fresh interpreter only (see python()); Linux and macOS.
    """
    page = mmap.PAGESIZE
    size = -(-values.nbytes // page) * page
    memory = mmap.mmap(-1, size + page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(page), 0) == 0, os.strerror(ctypes.get_errno())
    array = np.frombuffer(memory, values.dtype, values.size, size - values.nbytes).reshape(values.shape)
    array[...] = values
    return array


# ---- a fresh interpreter ----


def python(code: str, timeout: float = 120, **environment: str) -> str:
    """Run code in an interpreter of its own and return what it prints; a crash or a hang is a failed test."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        timeout=timeout,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def sign_descent(nn):
    """The class of an optimizer of a user's own, with a slot."""

    class SignDescent(nn.CustomOptimizer):
        slots = ("mean",)

        def update(self, w, g, lr, decay, mean):
            mean += 0.1 * (g - mean)
            w -= lr * np.sign(mean)

    return SignDescent
