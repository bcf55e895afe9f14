"""The elementary functions of the kernels, in units in the last place, against 40 digits (mpmath).

They are reached through the activations that consist of little else: elu is expm1, softplus log1p and exp, gelu Φ;
and the logarithm, sine and cosine of Box and Muller's normal numbers through GaussianNoise.
"""

import numpy as np
import pytest

mp = pytest.importorskip("mpmath", reason="mpmath is the judge of the last place: pip install 'fastnn[test]'")

DTYPES = ["float32", "float64"]
pytestmark = pytest.mark.slow
LOW = {"float32": -13.0, "float64": -36.0}              # Φ and exp stay normal numbers down to here

# name: (the function in 40 digits, worst error allowed in ulp)                    worst seen, float32 and float64
FUNCTIONS = {
    "elu": (lambda u: u if u > 0 else mp.expm1(u), 2),                              # 0.77, 1.05
    "softplus": (lambda u: mp.log1p(mp.exp(u)), 3),                                 # 1.38, 1.27
    "sigmoid": (lambda u: 1 / (1 + mp.exp(-u)), 4),                                 # 1.69, 1.86
    "tanh": (mp.tanh, 5),                                                           # 2.32, 2.46
    "gelu": (lambda u: u * mp.erfc(-u / mp.sqrt(2)) / 2, 8),                        # 4.12, 5.86
}


def points(dtype):
    random = np.random.default_rng(0)
    wide = random.uniform(LOW[dtype], 30, 1500)
    near = random.uniform(-1, 1, 1000)
    tiny = random.choice([-1, 1], 300) * 10 ** random.uniform(-30, -2, 300)
    return np.concatenate([wide, near, tiny]).astype(dtype)


def exact(function, x):
    with mp.workdps(40):
        return [function(mp.mpf(float(v))) for v in x]


@pytest.fixture(scope="module", params=[(name, dtype) for name in FUNCTIONS for dtype in DTYPES], ids="-".join)
def known(request):
    name, dtype = request.param
    x = points(dtype)
    return name, x, exact(FUNCTIONS[name][0], x)


def test_last_places(fast, isa, known):
    name, x, want = known
    y = fast._kernels.activation(name, x[None])[0]
    unit = np.spacing(np.abs(np.array([float(w) for w in want])).astype(x.dtype)).astype(np.float64)
    error = np.array([abs(float(mp.mpf(float(a)) - b)) for a, b in zip(y, want, strict=True)]) / unit
    if name == "gelu" and isa == "portable":
        error -= x.astype(float) ** 2 / 2           # without a fused multiply-add x² is rounded before exp sees it
    at = int(error.argmax())
    assert error[at] <= FUNCTIONS[name][1], f"{error[at]:.2f} ulp at {x[at]!r}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_ends(fast, isa, dtype):
    """Infinities, NaN, zeros and numbers far outside: the limits, and no NaN that was not there."""
    x = np.array([[-np.inf, -1e30, 0.0, 1e30, np.inf, np.nan]], dtype=dtype)
    limits = {
        "elu": [-1, -1, 0, 1e30, np.inf], "softplus": [0, 0, np.log(2), 1e30, np.inf],
        "sigmoid": [0, 0, 0.5, 1, 1], "tanh": [-1, -1, 0, 1, 1],
    }
    for name, want in limits.items():
        y = fast._kernels.activation(name, x)[0]
        np.testing.assert_allclose(y[:5], np.array(want, dtype), rtol=1e-6, err_msg=name)
        assert np.isnan(y[5]), name


NORMAL_ULP = 5                                      # worst seen: 4.4 of a million in float32, 2.3 of 4000 in float64


def noise(fast, dtype, n):
    """n words of the generator as the engine's normal numbers."""
    model = fast.Sequential(fast.GaussianNoise(1.0), seed=4, dtype=dtype)
    return model.forward(np.zeros((1, n), dtype), training=True)[0]


@pytest.fixture(scope="module")
def normal_numbers(ref):
    """2000 of them in 40 digits."""
    words = [mp.mpf(2 * int(word) + 1) / 2**33 for word in ref.philox.uint32(2000, 4, 0, 1 << 24)]
    with mp.workdps(40):
        pairs = [(mp.sqrt(-2 * mp.log(u)), 2 * mp.pi * v) for u, v in zip(words[::2], words[1::2], strict=True)]
        return [radius * f(angle) for radius, angle in pairs for f in (mp.cos, mp.sin)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_numbers(fast, isa, dtype, normal_numbers):
    z = noise(fast, dtype, len(normal_numbers))
    unit = np.spacing(np.abs(z)).astype(np.float64)
    error = np.array([float(abs(mp.mpf(float(a)) - b)) for a, b in zip(z, normal_numbers, strict=True)]) / unit
    assert error.max() <= NORMAL_ULP


def test_rare_normal_numbers(fast, isa, ref):
    """A million, where u comes close to 0 and 1, and the angle to the axes; the book's doubles are judge enough."""
    words = ref.philox.uint32(1 << 20, 4, 0, 1 << 24)
    want, z = ref.philox.normals(words), noise(fast, "float32", words.size)
    error = np.abs(z - want) / np.spacing(np.abs(want).astype(np.float32))
    assert error.max() <= NORMAL_ULP
    assert np.abs(z).max() > 4.5
    assert np.abs(z).min() < 1e-5
