#!/usr/bin/env python3
"""Polynomials for compiler/codegen/vecmath*.c.

    python3 scripts/minimax.py > compiler/codegen/vecmath_poly.h        (needs python3-mpmath)

Weighted minimax polynomials by the exchange algorithm of Remez on a dense grid, in 60 digits. The
coefficients are rounded to the target precision from the lowest power up, and after each rounding the
remaining ones are fitted again to what is left, so that the rounded polynomial stays near the optimum
(not where 0 lies inside the interval: the powers that remain have a common zero there).
The comment above each table is the largest weighted error of the rounded polynomial, as a power of two.
"""
from mpmath import mp, mpf, matrix, lu_solve, exp, expm1, log, log1p, sin, cos, tanh, erf, erfc, sqrt, pi, floor

mp.dps = 60
GRID = 800


def rounded(x, bits):
    if x == 0:
        return mpf(0)
    e = bits - int(floor(log(abs(x), 2))) - 1
    return mp.nint(x * mpf(2) ** e) / mpf(2) ** e


def horner(c, x):
    s = mpf(0)
    for a in reversed(c):
        s = s * x + a
    return s


def remez(xs, fs, ws, degree):
    """Coefficients of p minimising max |w (f - p)| over the grid."""
    n = degree + 2
    m = len(xs)
    ref = [min(m - 1, max(0, int((1 - cos(pi * (i + mpf(1) / 2) / n)) / 2 * (m - 1)))) for i in range(n)]
    ref = sorted(set(ref))
    while len(ref) < n:
        ref = sorted(set(ref) | {next(i for i in range(m) if i not in ref)})
    for _ in range(40):
        a = matrix(n, n)
        b = matrix(n, 1)
        for r, i in enumerate(ref):
            x = mpf(1)
            for c in range(degree + 1):
                a[r, c] = x
                x *= xs[i]
            a[r, degree + 1] = (-1) ** r / ws[i]
            b[r] = fs[i]
        s = lu_solve(a, b)
        c = [s[i] for i in range(degree + 1)]
        err = [ws[i] * (fs[i] - horner(c, xs[i])) for i in range(m)]
        # one extreme point in each run of equal sign
        ext, best = [], 0
        for i in range(1, m):
            if (err[i] > 0) != (err[best] > 0):
                ext.append(best)
                best = i
            elif abs(err[i]) > abs(err[best]):
                best = i
        ext.append(best)
        while len(ext) > n:
            ext.pop(0 if abs(err[ext[0]]) < abs(err[ext[-1]]) else -1)
        if len(ext) < n or max(abs(e) for e in err) <= abs(s[degree + 1]) * mpf("1.002"):
            break
        ref = ext
    return c


def fit(name, bits, degree, low, high, f, weight, comment):
    low, high = mpf(low), mpf(high)
    xs = [(low + high) / 2 - (high - low) / 2 * cos(pi * (i + mpf(1) / 3) / GRID) for i in range(GRID)]
    fs = [f(x) for x in xs]
    ws = [weight(x) for x in xs]
    done, rest, w = [], fs, ws
    if low < 0:
        done = [rounded(c, bits) for c in remez(xs, fs, ws, degree)]
    for d in range(len(done), degree + 1):
        c = remez(xs, rest, w, degree - d)
        done.append(rounded(c[0], bits))
        rest = [(r - done[-1]) / x for r, x in zip(rest, xs)]
        w = [wi * abs(x) for wi, x in zip(w, xs)]
    error = max(abs(wi * (fi - horner(done, x))) for wi, fi, x in zip(ws, fs, xs))
    print(f"\n/* {comment}; on [{mp.nstr(low, 6)}, {mp.nstr(high, 6)}]: 2^{mp.nstr(log(error, 2), 4)} */")
    print(f"static const double {name}[{degree + 1}] = {{")
    for c in done:
        print(f"    {float(c).hex()},")
    print("};")


def parts(name, value, widths, comment):
    """value as an unevaluated sum of numbers of the given numbers of bits."""
    print(f"\n/* {comment} */")
    print(f"static const double {name}[{len(widths)}] = {{")
    for b in widths:
        e = b - int(floor(log(abs(value), 2))) - 1
        c = (mp.nint if b == widths[-1] else floor)(value * mpf(2) ** e) / mpf(2) ** e if value > 0 else rounded(value, b)
        value -= c
        print(f"    {float(c).hex()},")
    print("};")


def two_over_pi():
    bits = 64 * 20
    mp.prec = bits + 100
    v = int(floor(mpf(2) / mp.pi * mpf(2) ** bits))
    mp.dps = 60
    print("\n/* The binary digits of 2/pi behind the point, after a word of zeros; 64 in a word, first ones first. */")
    print("static const uint64_t two_over_pi[22] = {")
    words = [0] + [(v >> (bits - 64 * (i + 1))) & (2 ** 64 - 1) for i in range(20)] + [0]
    for w in words:
        print(f"    0x{w:016x}u,")
    print("};")


def main():
    print("/* codegen/vecmath_poly.h: coefficients of vecmath, lowest power first. Printed by scripts/minimax.py;")
    print(" * edit that. The error of each polynomial is relative to the function named.")
    print(" */")
    print("#ifndef DLC_CODEGEN_VECMATH_POLY_H\n#define DLC_CODEGEN_VECMATH_POLY_H\n\n#include <stdint.h>")
    ln2, h = log(mpf(2)), log(mpf(2)) / 2 * mpf("1.003")
    lo, hi = 1 / sqrt(mpf(2)) - 1, sqrt(mpf(2)) - 1
    lo, hi = lo * mpf("1.001"), hi * mpf("1.001")
    q = lambda r: (expm1(r) - r) / r**2
    parts("ln2_f32", ln2, [15, 24], "log 2: n times the first part is exact for |n| < 512")
    parts("ln2_f64", ln2, [42, 53], "log 2: n times the first part is exact for |n| < 2048")
    parts("half_pi_f64", pi / 2, [53, 53, 53], "pi / 2")
    parts("half_pi_short", pi / 2, [23, 23, 53], "pi / 2: n times the first two parts is exact for |n| < 2^30")
    fit("exp_f32", 24, 4, -h, h, q, lambda r: r**2 / exp(r), "exp(r) = 1 + r + r^2 p(r)")
    fit("expm1_f32", 24, 5, -h, h, q, lambda r: abs(r**2 / expm1(r)), "expm1(r) = r + r^2 p(r)")
    fit("log_f32", 24, 8, lo, hi, lambda f: (log1p(f) - f + f * f / 2) / f**3, lambda f: abs(f**3 / log1p(f)),
        "log(1 + f) = f - f^2/2 + f^3 p(f)")
    odd = lambda fn: (lambda z: (fn(sqrt(z)) / sqrt(z) - 1) / z)
    oddw = lambda fn: (lambda z: z * sqrt(z) / fn(sqrt(z)))
    eps = mpf(10) ** -12
    fit("tanh_f32", 24, 4, eps, mpf("0.625") ** 2, odd(tanh), oddw(tanh), "tanh(x) = x + x^3 p(x^2)")
    quarter = (pi / 4 * mpf("1.001")) ** 2
    fit("sin_f32", 24, 2, eps, quarter, odd(sin), oddw(sin), "sin(x) = x + x^3 p(x^2)")
    fit("cos_f32", 24, 2, eps, quarter, lambda z: (cos(sqrt(z)) - 1 + z / 2) / z**2,
        lambda z: z**2 / cos(sqrt(z)), "cos(x) = 1 - x^2/2 + x^4 p(x^2)")
    c = 2 / sqrt(pi)
    small = lambda z: erf(sqrt(z)) / sqrt(z) - 1
    smallw = lambda z: sqrt(z) / erf(sqrt(z))
    fit("erf_small_f32", 24, 6, eps, 1, small, smallw, "erf(x) = x + x p(x^2)")
    fit("erf_large_f32", 24, 6, mpf("0.999"), 4, lambda t: log(erfc(t)) / t, lambda t: t * erfc(t) / erf(t),
        "erf(t) = 1 - exp(t p(t))")
    fit("exp_f64", 53, 10, -h, h, q, lambda r: r**2 / exp(r), "exp(r) = 1 + r + r^2 p(r)")
    fit("expm1_f64", 53, 11, -h, h, q, lambda r: abs(r**2 / expm1(r)), "expm1(r) = r + r^2 p(r)")
    smax = (hi / (2 + hi)) ** 2 * mpf("1.002")
    at = lambda s: 2 * mp.atanh(s)
    fit("log_f64", 53, 6, eps, smax, lambda z: (at(sqrt(z)) / sqrt(z) - 2) / z,
        lambda z: z * sqrt(z) / at(sqrt(z)), "log((1 + s)/(1 - s)) = 2s + s^3 p(s^2)")
    fit("log_tail_f64", 53, 7, eps, smax, lambda z: (at(sqrt(z)) / sqrt(z) - 2 - 2 * z / 3) / z**2,
        lambda z: z**2 * sqrt(z) / at(sqrt(z)), "log((1 + s)/(1 - s)) = 2s + 2/3 s^3 + s^5 p(s^2)")
    fit("tanh_f64", 53, 11, eps, mpf("0.625") ** 2, odd(tanh), oddw(tanh), "tanh(x) = x + x^3 p(x^2)")
    fit("sin_f64", 53, 6, eps, quarter, odd(sin), oddw(sin), "sin(x) = x + x^3 p(x^2)")
    fit("cos_f64", 53, 6, eps, quarter, lambda z: (cos(sqrt(z)) - 1 + z / 2) / z**2,
        lambda z: z**2 / cos(sqrt(z)), "cos(x) = 1 - x^2/2 + x^4 p(x^2)")
    fit("erf_small_f64", 53, 13, eps, 1, small, smallw, "erf(x) = x + x p(x^2)")
    k = mpf(2)
    back = lambda u: k * (1 + u) / (1 - u)
    top = (6 - k) / (6 + k)
    fit("erf_large_f64", 53, 15, (mpf("0.999") - k) / (mpf("0.999") + k), top,
        lambda u: exp(back(u) ** 2) * erfc(back(u)) * (1 + 2 * back(u)),
        lambda u: exp(-back(u) ** 2) / (1 + 2 * back(u)) / erf(back(u)),
        "erf(t) = 1 - exp(-t^2) p(u) / (1 + 2t), u = (t - 2) / (t + 2)")
    two_over_pi()
    print("\n#endif")


main()
