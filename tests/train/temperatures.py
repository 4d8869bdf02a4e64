#!/usr/bin/env python3
"""Temperatures: the network's error in the last year is below that of the least-squares autoregression on the same lags, and
below that of yesterday's value; and the example's own linear model is close to least squares.

usage: temperatures.py DLC EXAMPLE.dl FOLDER_OF_DATA
"""
import csv
import json
import pathlib
import subprocess
import sys

LAGS = 28


def solve(a, b):
    """a x = b by elimination with pivots."""
    n = len(b)
    rows = [list(a[i]) + [b[i]] for i in range(n)]
    for c in range(n):
        pivot = max(range(c, n), key=lambda r: abs(rows[r][c]))
        rows[c], rows[pivot] = rows[pivot], rows[c]
        for r in range(c + 1, n):
            factor = rows[r][c] / rows[c][c]
            rows[r] = [x - factor * y for x, y in zip(rows[r], rows[c])]
    x = [0.0] * n
    for r in range(n - 1, -1, -1):
        x[r] = (rows[r][n] - sum(rows[r][k] * x[k] for k in range(r + 1, n))) / rows[r][r]
    return x


def autoregression(values, ntest):
    examples = [(values[i:i + LAGS] + [1.0], values[i + LAGS]) for i in range(len(values) - LAGS)]
    train, test = examples[:-ntest], examples[-ntest:]
    n = LAGS + 1
    a = [[sum(x[i] * x[j] for x, _ in train) for j in range(n)] for i in range(n)]
    b = [sum(x[i] * y for x, y in train) for i in range(n)]
    w = solve(a, b)
    return sum(abs(sum(u * v for u, v in zip(w, x)) - y) for x, y in test) / ntest


def main():
    dlc, example, folder = sys.argv[1:4]
    if f"input  x[{LAGS}]" not in pathlib.Path(example).read_text():
        sys.exit("the example has other lags than this test")
    done = subprocess.run([dlc, example, "train", "--data", folder, "--json"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"exit status {done.returncode}: {done.stderr}")
    test = json.loads(done.stdout.splitlines()[-1])["test"]
    with open(pathlib.Path(folder, "daily-min-temperatures.csv"), newline="") as file:
        values = [float(row[1]) for row in list(csv.reader(file))[1:]]
    fit = autoregression(values, 362)
    print(f"network {test['network']:.4f}, trained linear {test['linear']:.4f}, least squares {fit:.4f}, "
          f"repeat last {test['repeat_last']:.4f}")
    return not (test["network"] < fit < test["repeat_last"] and abs(test["linear"] - fit) < 0.02)


sys.exit(main())
