"""Random numbers without a state: Philox4x32-10.

A counter-based generator is a function: scramble a counter with a key, and four words of 32 random bits come out.
Nothing is remembered between two calls, so any number can be had at any time, in any order and by any thread, and
a mask need not be stored: it can be drawn again.

    key      the model's seed
    counter  (block of four words, step, stream)

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
Engine: fastnn/kernels/philox.h.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
Source = Callable[[int, int, int, int], Words]      # what draws words as uint32 does: the engine has one in C

# What the numbers are for: the upper byte of the stream. The rest counts parameters or layers.
INIT, MASK, SHUFFLE, CHECK, TEXT, MIXUP, SPLIT = 0, 1, 2, 3, 4, 5, 6

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85       # the golden ratio and √3 − 1: each round has a key of its own


def stream(purpose: int, index: int) -> int:
    """The number of a stream: purpose and running number (below 2**24)."""
    return purpose << 24 | index


def philox4x32(counter: Words, key: Sequence[int]) -> Words:
    """Four random words for each ``counter`` (..., 4) under ``key`` (2 words).

    >>> import numpy as np, fastnn_ref as nn
    >>> words = nn.philox.philox4x32(np.zeros(4, np.uint32), (0, 0))
    >>> words.tolist() == [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
    True
    """
    x0, x1, x2, x3 = (counter[..., i].astype(np.uint32) for i in range(4))
    for turn in range(10):
        k0, k1 = (np.uint32((key[i] + turn * WEYL[i]) % 2**32) for i in range(2))
        # 64 bits each. Widened by name: before NumPy 2 a scalar factor would leave them at 32.
        p0, p1 = x0.astype(np.uint64) * MULTIPLIERS[0], x2.astype(np.uint64) * MULTIPLIERS[1]
        high0, high1 = (p0 >> np.uint64(32)).astype(np.uint32), (p1 >> np.uint64(32)).astype(np.uint32)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, p1.astype(np.uint32), high0 ^ x3 ^ k1, p0.astype(np.uint32)
    return np.stack([x0, x1, x2, x3], axis=-1)


def uint32(n: int, seed: int, step: int, stream: int, block: int = 0) -> Words:
    """The first ``n`` words of a stream: element i is word i % 4 of block i // 4; or those from another block on.

    >>> import fastnn_ref as nn
    >>> nn.philox.uint32(5, seed=0, step=0, stream=0).tolist()[:2] == [0x6627e8d5, 0xe169c58d]
    True
    """
    blocks = np.arange(-(-n // 4), dtype=np.uint64) + np.uint64(block)
    counter = np.empty((len(blocks), 4), dtype=np.uint32)
    counter[:, 0], counter[:, 1] = blocks & np.uint64(0xFFFFFFFF), blocks >> np.uint64(32)
    counter[:, 2], counter[:, 3] = step % 2**32, stream
    return philox4x32(counter, (seed % 2**32, seed >> 32)).reshape(-1)[:n]


def threshold(p: float) -> int:
    """What a word must be below, for an event of probability ``p``: round(p · 2³²)."""
    return round(p * 2**32)


def scale(p: float) -> float:
    """What is kept grows by so much that the mean stays: 1 / (1 − p), and 0 for p = 1, where nothing is kept."""
    return 1 / (1 - p) if p < 1 else 0.0


def bernoulli(words: Words, p: float) -> npt.NDArray[np.bool_]:
    """True with probability ``p``, to 2⁻³³: an integer decides, so it is the same in every dtype.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.philox.bernoulli(np.array([0, 2**31 - 1, 2**31], np.uint32), 0.5).tolist()
    [True, True, False]
    """
    return words.astype(np.uint64) < np.uint64(threshold(p))


def to_uniform(words: Words) -> npt.NDArray[np.float64]:
    """Words as numbers in (0, 1), never 0 or 1: (word + ½) / 2³².

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.philox.to_uniform(np.array([2**31], np.uint32)).round(6).tolist()
    [0.5]
    """
    return (words.astype(np.float64) + 0.5) * 2.0**-32


def uniform(
    shape: Sequence[int], seed: int, step: int, stream: int, words: Source = uint32,
) -> npt.NDArray[np.float64]:
    """Uniform numbers in (0, 1).

    >>> import fastnn_ref as nn
    >>> bool((0 < nn.philox.uniform((2, 3), seed=1, step=0, stream=0)).all())
    True
    """
    return to_uniform(words(math.prod(shape), seed, step, stream)).reshape(shape)


PAIRS = 4096

# NumPy's own logarithm rounds otherwise on a CPU with AVX-512. Series of sums and products round alike on every CPU.
LOG = [1 / (2 * k + 1) for k in range(12)]                          # artanh f = f · (1 + f²/3 + f⁴/5 + …)
COS = [(-1) ** k / math.factorial(2 * k) for k in range(10)]        # cos r = 1 − r²/2! + r⁴/4! − …
SIN = [(-1) ** k / math.factorial(2 * k + 1) for k in range(9)]     # sin r = r · (1 − r²/3! + r⁴/5! − …)


def polynomial(x: npt.NDArray[np.float64], coefficients: Sequence[float]) -> npt.NDArray[np.float64]:
    """c₀ + c₁x + c₂x² + …, by Horner's rule.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.philox.polynomial(np.array([2.0]), [1, 0, 3]).tolist()
    [13.0]
    """
    y = np.zeros_like(x)
    for c in reversed(coefficients):
        y *= x
        y += c
    return y


def log(u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log u = e · log 2 + 2 artanh f for u = 2ᵉ · m, with m in √½ … √2 and f = (m − 1) / (m + 1).

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.philox.log(np.array([1.0, 0.1])).round(6).tolist()
    [0.0, -2.302585]
    """
    m, e = np.frexp(u)
    low = m < math.sqrt(0.5)
    m, e = np.where(low, 2 * m, m), e - low
    f = (m - 1) / (m + 1)
    return e * math.log(2) + 2 * f * polynomial(f * f, LOG)


def cos_sin(v: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """cos 2πv and sin 2πv for v in 0 … 1: a number of quarters of a turn, and an angle r of at most an eighth.

    >>> import numpy as np, fastnn_ref as nn
    >>> [part.tolist() for part in nn.philox.cos_sin(np.array([0.0, 0.25]))]
    [[1.0, 0.0], [0.0, 1.0]]
    """
    quarters = np.rint(4 * v).astype(int)
    r = 2 * math.pi * (v - quarters / 4)
    c, s = polynomial(r * r, COS), r * polynomial(r * r, SIN)
    turned = np.array([1.0, 0.0, -1.0, 0.0, 1.0, 0.0])              # cos of 0, 1, … 5 quarters; −sin of one less
    c1, s1 = turned[quarters], -turned[quarters + 1]
    return c1 * c - s1 * s, s1 * c + c1 * s


def normals(words: Words) -> npt.NDArray[np.float64]:
    """An even number of words as normal numbers, mean 0 and variance 1.

    Pairs u, v of uniform numbers become √(−2 log u) · (cos 2πv, sin 2πv). Source: Box and Muller (1958).
    """
    pairs, z = words.reshape(-1, 2), np.empty((len(words) // 2, 2))
    for start in range(0, len(z), PAIRS):                           # as many at a time as a cache holds
        part = slice(start, start + PAIRS)
        u, v = to_uniform(pairs[part]).T
        z[part] = (np.sqrt(-2 * log(u)) * cos_sin(v)).T
    return z.reshape(-1)


def normal(
    shape: Sequence[int], seed: int, step: int, stream: int, words: Source = uint32,
) -> npt.NDArray[np.float64]:
    """Normal numbers, mean 0 and variance 1.

    >>> import fastnn_ref as nn
    >>> draws = nn.philox.normal((10_000,), seed=1, step=0, stream=0)
    >>> bool(abs(draws.mean()) < 0.05) and bool(abs(draws.std() - 1) < 0.05)
    True
    """
    n = math.prod(shape)
    return normals(words(n + n % 2, seed, step, stream))[:n].reshape(shape)


def permutation(n: int, seed: int, step: int, stream: int = SHUFFLE << 24) -> npt.NDArray[np.int64]:
    """A shuffle of 0 … n−1 (n < 2³²): Fisher and Yates, each element swapped with one of those from it on.

    A word picks one of m with a bias below m/2³².

    >>> import fastnn_ref as nn
    >>> sorted(nn.philox.permutation(5, seed=0, step=0).tolist())
    [0, 1, 2, 3, 4]
    """
    if not 0 <= n < 2**32:
        raise ValueError(f"n: expected an integer >= 0 and < 2**32, got {n}")
    order = list(range(n))
    for i, word in enumerate(uint32(max(n - 1, 0), seed, step, stream).tolist()):
        j = i + (word * (n - i) >> 32)
        order[i], order[j] = order[j], order[i]
    return np.array(order, dtype=np.int64)
