"""Makes the constants of fastnn/kernels/math.inc.c: ``python tools/fit_math.py`` (needs mpmath).

Each is a Chebyshev fit in 60 digits, close to the best polynomial of its degree. The error printed beside it is that
of the fit alone, relative to the function: to be lost in rounding it should be well below 2**-25 (float) or
2**-54 (double).
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60
HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.001")          # a little more: r is rounded
EIGHTH = (mp.pi / 4) ** 2 * mp.mpf("1.001")         # of a turn, squared
S2 = (mp.sqrt(2) - 1) ** 2 / (mp.sqrt(2) + 1) ** 2 * mp.mpf("1.001")


def exp_tail(r: mp.mpf) -> mp.mpf:
    """exp(r) = 1 + r + r²·tail."""
    return (mp.exp(r) - 1 - r) / r**2 if abs(r) > 1e-15 else mp.mpf(1) / 2 + r / 6


def log_tail(s2: mp.mpf) -> mp.mpf:
    """log((1 + s)/(1 − s)) = 2s + s·s²·tail(s²)."""
    s = mp.sqrt(s2)
    return (2 * mp.atanh(s) - 2 * s) / s**3 if s > 1e-8 else mp.mpf(2) / 3


def sin_tail(x2: mp.mpf) -> mp.mpf:
    """sin(x) = x + x³·tail(x²)."""
    x = mp.sqrt(x2)
    return (mp.sin(x) - x) / x**3 if x > 1e-15 else mp.mpf(-1) / 6


def cos_tail(x2: mp.mpf) -> mp.mpf:
    """cos(x) = 1 − x²/2 + x⁴·tail(x²)."""
    return (mp.cos(mp.sqrt(x2)) - 1 + x2 / 2) / x2**2 if x2 > 1e-20 else mp.mpf(1) / 24


SLOPE, FURTHEST = 4, {32: 15, 64: 39}               # beyond −FURTHEST, Φ underflows


def mills(v: mp.mpf) -> mp.mpf:
    """Φ(−a)·exp(a²/2) / t, nearly flat over t = 1/(1 + a/SLOPE), 1 … 0; as a function of t − ½, to lose no digits."""
    t = v + mp.mpf(1) / 2
    a = SLOPE * (1 - t) / t
    return mp.erfc(a / mp.sqrt(2)) * mp.exp(a**2 / 2) / 2 / t


def fit(name: str, f: Callable[[mp.mpf], mp.mpf], interval: tuple[object, object], terms: int,
        weight: Callable[[mp.mpf], mp.mpf], digits: int) -> None:
    """Prints the ``terms`` coefficients, highest power first, and the worst error, weighted to be relative."""
    coefficients, _ = mp.chebyfit(f, interval, terms, error=True)
    low, high = map(mp.mpf, interval)
    points = [low + (high - low) * (i + mp.mpf("0.37")) / 500 for i in range(500)]
    worst = max(abs((mp.polyval(coefficients, x) - f(x)) * weight(x)) for x in points)
    print(f"{name}: 2^{float(mp.log(worst, 2)):.1f}")
    print("    " + ", ".join(mp.nstr(c, digits) for c in coefficients))


def log2_parts(zeros: int, precision: int) -> tuple[mp.mpf, mp.mpf]:
    """log 2 as a number that ends in ``zeros`` zero bits, so that small multiples of it are exact, and the rest."""
    unit = mp.mpf(2) ** (precision - zeros)
    high = mp.floor(mp.log(2) * unit) / unit
    return high, mp.log(2) - high


def parts(x: mp.mpf, bits: int) -> tuple[mp.mpf, mp.mpf]:
    """x as the nearest multiple of 2**-bits that is not larger, and the rest."""
    high = mp.floor(x * mp.mpf(2) ** bits) / mp.mpf(2) ** bits
    return high, x - high


if __name__ == "__main__":
    for bits, precision, digits, terms in ((32, 24, 10, (6, 4, 12, 4, 3)), (64, 53, 19, (11, 8, 25, 7, 6))):
        print(f"---- {bits} bits")
        fit("exp", exp_tail, (-HALF_LN2, HALF_LN2), terms[0], lambda r: r**2 / mp.exp(r), digits)
        fit("log1p", log_tail, (mp.mpf(0), S2), terms[1], lambda s2: s2 / 2, digits)
        fit("phi", mills, (1 / (1 + mp.mpf(FURTHEST[bits]) / SLOPE) - mp.mpf(1) / 2, mp.mpf(1) / 2), terms[2],
            lambda v: 1 / mills(v), digits)
        fit("sin", sin_tail, (mp.mpf(0), EIGHTH), terms[3], lambda x2: x2 * mp.sqrt(x2) / mp.sin(mp.sqrt(x2)), digits)
        fit("cos", cos_tail, (mp.mpf(0), EIGHTH), terms[4], lambda x2: x2**2 / mp.cos(mp.sqrt(x2)), digits)
        # gelu_tanh's b = u·(linear + cubic·u²): sums of the two must leave an exact residue where b is largest.
        linear = 2 * mp.sqrt(2 / mp.pi)
        print("gelu linear:", *(mp.nstr(part, 22) for part in parts(linear, {32: 19, 64: 46}[bits])))
        cubic = linear * mp.mpf("0.044715")
        high = mp.mpf(mp.nint(cubic * mp.mpf(2) ** (precision + 3))) / mp.mpf(2) ** (precision + 3)
        print("gelu cubic:", mp.nstr(high, 22), mp.nstr(cubic - high, 22))
        print("log 2:", *(mp.nstr(part, 22) for part in log2_parts(precision // 3, precision)))
