"""Formulas once more, as plain and as slow as possible: whole numbers of Python, numbers of mpmath.

They come from the papers, not from either package, so a bug that both packages share still shows.
"""

import contextlib
import threading

import mpmath

WORD = 0xFFFFFFFF
PRECISION = threading.RLock()      # mpmath has one precision for all threads


@contextlib.contextmanager
def digits(count):
    """mpmath counts with so many digits in this block, in which one thread is at a time."""
    with PRECISION, mpmath.workdps(count):
        yield


def philox4x32(counter, key):
    """Four words: ten rounds over four words of counter and two of key (Salmon et al. 2011)."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        low, high = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = high >> 32 ^ b ^ k, high & WORD, low >> 32 ^ d ^ m, low & WORD
        k, m = k + 0x9E3779B9 & WORD, m + 0xBB67AE85 & WORD
    return a, b, c, d


def words(n, seed, step, stream, first=0):
    """The n words from number `first` on: word i is word i % 4 of block i // 4."""
    out = []
    for i in range(first, first + n):
        block = i // 4
        counter = (block & WORD, block >> 32, step & WORD, stream)
        out.append(philox4x32(counter, (seed & WORD, seed >> 32))[i % 4])
    return out


def uniform(n, seed, step, stream):
    """n numbers of (0, 1): the middle of the word's interval."""
    return [(w + 0.5) / 2**32 for w in words(n, seed, step, stream)]


def permutation(n, seed, step, stream):
    """Fisher and Yates, forwards: place i gets one of the n - i that are left."""
    order = list(range(n))
    for i, word in enumerate(words(max(n - 1, 0), seed, step, stream)):
        j = i + (word * (n - i) >> 32)
        order[i], order[j] = order[j], order[i]
    return order


def _phi(u):
    return mpmath.erfc(-u / mpmath.sqrt(2)) / 2


def self_normalizing():
    """λ and α of selu: mean 0 and variance 1 are a fixed point of it (Klambauer et al. 2017, equation 14)."""
    half = mpmath.mpf(1) / 2
    alpha = -mpmath.sqrt(2 / mpmath.pi) / (mpmath.erfc(mpmath.sqrt(half)) * mpmath.exp(half) - 1)
    second = 1 + alpha**2 * (1 - 4 * mpmath.exp(half) * _phi(-1) + 2 * mpmath.exp(2) * _phi(-2))     # 2·E[selu²]/λ²
    return mpmath.sqrt(2 / second), alpha


with digits(50):
    LAMBDA, ALPHA = self_normalizing()

ACTIVATIONS = {  # name -> f(u, slope or alpha), each as its paper writes it
    "identity": lambda u: u,
    "relu": lambda u: max(u, 0),
    "relu6": lambda u: min(max(u, 0), 6),
    "leaky_relu": lambda u, negative_slope=0.01: u if u > 0 else negative_slope * u,
    "elu": lambda u, alpha=1: u if u > 0 else alpha * mpmath.expm1(u),
    "celu": lambda u, alpha=1: u if u > 0 else alpha * mpmath.expm1(u / alpha),
    "selu": lambda u: LAMBDA * (u if u > 0 else ALPHA * mpmath.expm1(u)),
    "silu": lambda u: u / (1 + mpmath.exp(-u)),
    "mish": lambda u: u * mpmath.tanh(mpmath.log1p(mpmath.exp(u))),
    "hardswish": lambda u: u * min(max(u + 3, 0), 6) / 6,
    "gelu": lambda u: u * _phi(u),
    "gelu_tanh": lambda u: u / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (u + mpmath.mpf("0.044715") * u**3))),
    "softplus": lambda u: mpmath.log1p(mpmath.exp(u)),
    "tanh": mpmath.tanh,
    "sigmoid": lambda u: 1 / (1 + mpmath.exp(-u)),
    "hardsigmoid": lambda u: min(max(u + 3, 0), 6) / 6,
    "log_sigmoid": lambda u: -mpmath.log1p(mpmath.exp(-u)),
    "softsign": lambda u: u / (1 + abs(u)),
    "softshrink": lambda u, lambd=0.5: mpmath.sign(u) * max(abs(u) - lambd, 0),
    "hardshrink": lambda u, lambd=0.5: u if abs(u) > lambd else mpmath.mpf(0),
}


def softmax(row):
    powers = [mpmath.exp(u) for u in row]
    return [p / mpmath.fsum(powers) for p in powers]


def log_softmax(row):
    return [mpmath.log(p) for p in softmax(row)]
