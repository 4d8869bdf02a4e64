#!/usr/bin/env python3
"""bench/host.c with bench/tiny.dl: its first losses are those of the same training in Python; its times are times.

usage: host.py DLC ROOT FOLDER THREADS
"""
import json
import math
import pathlib
import random
import re
import struct
import subprocess
import sys

BATCH, BATCHES, STEPS = 16, 2, 6
SIZES = [4, 16, 16, 3]


def call(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")
    return done.stdout


def forward(w, b, x):
    """The values of all layers."""
    values = [x]
    for layer in range(3):
        z = [b[layer][u] + sum(a * c for a, c in zip(values[-1], w[layer][u])) for u in range(SIZES[layer + 1])]
        values.append([math.tanh(v) for v in z] if layer < 2 else z)
    return values


def step(w, b, xs, ys):
    """One step of gradient descent; the loss before it."""
    loss = 0
    gw = [[[0.0] * SIZES[layer] for _ in range(SIZES[layer + 1])] for layer in range(3)]
    gb = [[0.0] * SIZES[layer + 1] for layer in range(3)]
    for x, y in zip(xs, ys):
        values = forward(w, b, x)
        total = sum(math.exp(v) for v in values[3])
        loss += math.log(total) - values[3][y]
        g = [math.exp(v) / total - (k == y) for k, v in enumerate(values[3])]
        for layer in (2, 1, 0):
            below = values[layer]
            for u, d in enumerate(g):
                gb[layer][u] += d
                for i, v in enumerate(below):
                    gw[layer][u][i] += d * v
            g = [sum(d * w[layer][u][i] for u, d in enumerate(g)) * (1 - below[i] ** 2) for i in range(len(below))]
    for layer in range(3):
        for u in range(SIZES[layer + 1]):
            b[layer][u] -= 0.1 / len(xs) * gb[layer][u]
            for i in range(SIZES[layer]):
                w[layer][u][i] -= 0.1 / len(xs) * gw[layer][u][i]
    return loss / len(xs)


def write_params(folder, header, w, b):
    params = [0.0] * int(re.search(r"TINY_PARAMS (\d+)", header).group(1))
    for layer in range(3):
        for name, values in (("w", [v for row in w[layer] for v in row]), ("b", b[layer])):
            at = int(re.search(rf"TINY_AT_l{layer + 1}_{name} (\d+)", header).group(1))
            params[at:at + len(values)] = values
    (folder / "params.bin").write_bytes(struct.pack(f"<{len(params)}f", *params))


def main():
    dlc, root, folder, threads = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]
    folder.mkdir(parents=True, exist_ok=True)
    call(dlc, root / "bench/tiny.dl", "compile", "-o", folder / "tiny.o", "--threads", threads)
    more = [f"-DTHREADS={threads}", "-fopenmp"] if threads != "1" else []
    call("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-DMODEL=tiny", "-DSIZE=TINY_", '-DHEADER="tiny.h"', "-DINPUT=float",
         f"-DBATCHES={BATCHES}", f"-DOUTPUTS={BATCH * 3}", "-DTRAINS", *more, f"-I{folder}", "-o", folder / "tiny",
         root / "bench/host.c", folder / "tiny.o")
    random.seed(1)
    w = [[[random.uniform(-0.5, 0.5) for _ in range(SIZES[n])] for _ in range(SIZES[n + 1])] for n in range(3)]
    b = [[random.uniform(-0.1, 0.1) for _ in range(SIZES[n + 1])] for n in range(3)]
    xs = [[random.random() for _ in range(4)] for _ in range(BATCH * BATCHES)]
    ys = [random.randrange(3) for _ in range(BATCH * BATCHES)]
    write_params(folder, (folder / "tiny.h").read_text(), w, b)
    (folder / "x.bin").write_bytes(struct.pack(f"<{4 * len(xs)}f", *(v for x in xs for v in x)))
    (folder / "y.bin").write_bytes(struct.pack(f"<{len(ys)}i", *ys))
    said = json.loads(call(folder / "tiny", "check", folder, STEPS))["losses"]
    right = []
    for n in range(STEPS):
        part = slice(n % BATCHES * BATCH, (n % BATCHES + 1) * BATCH)
        right.append(step(w, b, xs[part], ys[part]))
    if len(said) != STEPS or max(abs(a - c) / c for a, c in zip(said, right)) > 1e-5:
        print(f"losses {said}\nare    {right}")
        return 1
    times = json.loads(call(folder / "tiny", "train", folder, "0.1", "processor"))
    if not (0 < times["min_ms"] <= times["p10_ms"] <= times["median_ms"] <= times["p90_ms"]) or times["steps"] < 100:
        print(f"times: {times}")
        return 1
    print("the losses are right")
    return 0


sys.exit(main())
