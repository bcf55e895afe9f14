"""The random generator: Random123's known answers, and the order in which a model uses the words."""

import csv
import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import oracle
from tests.check import same
from tests.pairwise import pairwise

DATA = Path(__file__).parent / "data" / "philox4x32-10.csv"
KNOWN = [
    [int(word, 16) for word in row.values()]
    for row in csv.DictReader(line for line in DATA.read_text().splitlines() if not line.startswith("#"))
]
SEEDS = [0, 1, 2**32 - 1, 2**32, 0x0123456789ABCDEF, 2**64 - 1]
STREAMS = [0, 7, 1 << 24 | 3, 2 << 24, 255 << 24 | 0xFFFFFF]
COUNTS = [0, 1, 3, 4, 5, 8, 17, 64, 1001]


@pytest.fixture(scope="session")
def nn(ref):
    """The generator stands once: test_mirror proves that both packages show the same module."""
    return ref


@pytest.mark.parametrize("row", KNOWN, ids=["zeros", "ones", "pi"])
def test_known_answers(nn, row):
    got = nn.philox.philox4x32(np.array(row[:4], np.uint32), (row[4], row[5]))
    assert got.tolist() == row[6:]
    assert list(oracle.philox4x32(row[:4], row[4:6])) == row[6:]


@pairwise(seed=SEEDS, stream=STREAMS)
def test_words(nn, seed, stream):
    for n, step in zip(COUNTS, [0, 1, 2**32 - 1, 0, 5, 6, 7, 8, 9], strict=True):
        same(nn.philox.uint32(n, seed, step, stream), np.array(oracle.words(n, seed, step, stream), np.uint32))


@pytest.mark.parametrize("seed", SEEDS)
def test_words_of_the_kernel(fast, isa, seed):
    for n in COUNTS:
        want = np.array(oracle.words(n, seed, 3, 1 << 24 | 5), np.uint32)
        same(fast._kernels.words(n, seed, 3, 1 << 24 | 5), want)


def test_uniform(nn):
    u = nn.philox.uniform((7, 11), seed=5, step=2, stream=9)
    same(u, np.reshape(oracle.uniform(77, 5, 2, 9), (7, 11)))


def test_uniform_never_reaches_its_ends(nn):
    low, high = nn.philox.to_uniform(np.array([0, 2**32 - 1], np.uint32))
    assert 0 < low < 1e-9
    assert 1 - 1e-9 < high < 1
    u = nn.philox.uniform((100_000,), seed=1, step=0, stream=0)
    assert 0 < u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1


def test_normal(nn):
    z = nn.philox.normal((100_001,), seed=2, step=0, stream=0)
    n = len(z)
    assert z.dtype == np.float64
    assert abs(z.mean()) < 5 / n**0.5
    assert abs(z.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((z**3).mean()) < 5 * (15 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / n) ** 0.5
    assert abs((z[:-1] * z[1:]).mean()) < 5 / n**0.5
    assert np.abs(z).max() > 3.9


def test_logarithm_and_angles_against_the_c_library(nn):
    """In 1,000 places, the words' extremes and the ends of what the series are for among them."""
    words = [0, 1, 2**30 - 1, 2**30, 2**31 - 1, 2**31, 3 * 2**29, round(2**31.5), round(2**31.5) - 1, 2**32 - 1]
    u = nn.philox.to_uniform(np.append(nn.philox.uint32(990, 1, 0, 0), words).astype(np.uint32))
    c, s = nn.philox.cos_sin(u)
    for got, want, bound in [
        (nn.philox.log(u), [math.log(value) for value in u], 4e-16),
        (c, [math.cos(2 * math.pi * value) for value in u], 1e-15),
        (s, [math.sin(2 * math.pi * value) for value in u], 1e-15),
    ]:
        assert np.all(abs(got - want) <= bound * np.maximum(1, np.abs(want)))
    assert np.all(abs(nn.philox.log(u) / [math.log(value) for value in u] - 1) < 5e-16)
    assert np.all(abs(c * c + s * s - 1) < 5e-16)


def test_normal_numbers_have_the_same_bits_everywhere(nn):
    """They are initial weights, and one seed is one network on every machine."""
    z = nn.philox.normal((20_001,), seed=3, step=0, stream=0)
    assert hashlib.sha256(z.astype("<f8").tobytes()).hexdigest()[:16] == "520a171529663df1"


@given(n=st.integers(0, 200), seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**32 - 1))
def test_permutation(nn, n, seed, step):
    want = np.array(oracle.permutation(n, seed, step, 2 << 24), np.int64)
    same(nn.philox.permutation(n, seed, step, 2 << 24), want)


@given(n=st.integers(0, 200), seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**32 - 1))
def test_permutation_of_the_kernel(fast, n, seed, step):
    same(
        fast._kernels.permutation(n, seed, step),
        np.array(oracle.permutation(n, seed, step, 2 << 24), np.int64),
    )


@pytest.mark.slow
def test_every_order_of_three_is_as_likely(nn):
    orders, counts = np.unique(
        [nn.philox.permutation(3, 1, step, 2 << 24) for step in range(6000)], axis=0, return_counts=True
    )
    assert len(orders) == 6
    assert ((counts - 1000) ** 2 / 1000).sum() < 20.5  # chi-squared, 5 degrees of freedom, 1 in 1000


def test_streams_differ(nn):
    drawn = {
        tuple(nn.philox.uint32(4, seed, step, stream))
        for seed in (0, 1)
        for step in (0, 1)
        for stream in (0, 1, 1 << 24)
    }
    assert len(drawn) == 12
