#!/usr/bin/env python3
"""Times dlc's contractions and the matrix products of libraries, in turn, and prints them beside the machine's peak.

usage: products.py [--dlc DLC] [--layers cubes,suite or 64x512x784,...] [--forms nt,nn,tn] [--rounds N] [--markdown]

A layer is BATCHxOUTxIN; products.c says what its three products are. `dlc` is what users get: the batch is an index whose
extent is known when it runs. In `fixed` all sizes are known when it is compiled. Libraries that are not installed are
left out. The numbers are GFLOP/s, the best of all rounds, and for `dlc` also against the best peer and the peak of the same run.
"""
import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LAYERS = {
    "cubes": ["64x64x64", "128x128x128", "256x256x256", "512x512x512", "1024x1024x1024"],
    "suite": ["64x512x784", "64x512x512", "64x10x512", "64x512x3136", "32x1024x256", "2048x1024x64", "2048x1024x256", "2048x65x256",
              "768x384x128", "768x128x128", "768x512x128", "768x128x512", "768x65x128"],
}
FOLDER = os.environ.get("PEER_LIB", "/usr/lib/" + (os.uname().machine + "-linux-gnu"))
LIBRARIES = {
    "openblas": "openblas-pthread/libopenblas.so.0",
    "blis": "libblis.so.4",
    "onednn": "libdnnl.so.2",
}
# In `fixed` both operands are one "example": their sizes are known.
MODELS = {
    "nt": ("input x[{i}]\n param w[{o}, {i}] ~ zeros\n output y[o < {o}] = sum[i] x[i] * w[o, i]",
           "input x[{b}, {i}], w[{o}, {i}]\n output y[b < {b}, o < {o}] = sum[i] x[b, i] * w[o, i]"),
    "nn": ("input g[{o}]\n param w[{o}, {i}] ~ zeros\n output h[i < {i}] = sum[o] g[o] * w[o, i]",
           "input g[{b}, {o}], w[{o}, {i}]\n output h[b < {b}, i < {i}] = sum[o] g[b, o] * w[o, i]"),
    "tn": ("input g[{o}], x[{i}]\n output d[o < {o}, i < {i}] = sum[batch] g[o] * x[i]",
           "input g[{b}, {o}], x[{b}, {i}]\n output d[o < {o}, i < {i}] = sum[b] g[b, o] * x[b, i]"),
}


def call(*words):
    said = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if said.returncode:
        raise SystemExit(f"{' '.join(str(w) for w in words)}\n{said.stdout}{said.stderr}")
    return said.stdout


def build(folder, form, sizes, given):
    """The program that multiplies."""
    arena = 0
    for name, text, batch in zip(("dynamic", "fixed"), MODELS[form], (sizes["b"], 1)):
        (folder / f"{name}.dl").write_text(f"model {name} {{\n {text.format(**sizes)}\n}}\n")
        call(given.dlc, folder / f"{name}.dl", "compile", "--inference", "--batch", batch, "-o", folder / f"{name}.o",
             *given.dlc_options.split())
        arena = max(arena, int(re.search(r"_ARENA (\d+)", (folder / f"{name}.h").read_text()).group(1)))
    has_xsmm = any(pathlib.Path(f, "libxsmm.a").exists() for f in (FOLDER, "/usr/lib", "/usr/local/lib"))
    call("cc", "-O2", "-march=native", f"-DFORM={form.upper()}", f"-DARENA={arena}", *(["-DWITH_XSMM"] if has_xsmm else []),
         "-o", folder / "product", HERE / "products.c", folder / "dynamic.o", folder / "fixed.o",
         *(["-lxsmm", "-lxsmmnoblas", "-lpthread", "-lrt"] if has_xsmm else []), "-ldl", "-lm")
    return folder / "product"


def environment():
    """One thread; OpenBLAS finds out what kernels it has for this processor, BLIS 0.9 does not on newer ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    knows = "avx2" in pathlib.Path("/proc/cpuinfo").read_text()
    return ({"BLIS_ARCH_TYPE": "zen3"} if knows else {}) | kept | \
        {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS")}


def measure(program, layer, given):
    libraries = [f"{name}={FOLDER}/{path}" for name, path in LIBRARIES.items() if pathlib.Path(FOLDER, path).exists()]
    said = subprocess.run([*given.under.split(), program, *layer.split("x"), str(given.rounds),
                           *(libraries if not given.alone else [])],
                          capture_output=True, text=True, env=environment())
    if said.returncode:
        raise SystemExit(f"{layer}: {said.stderr}")
    return {name: rates["best"] for name, rates in json.loads(said.stdout.splitlines()[-1]).items()}


COLUMNS = ["dlc", "fixed", "libxsmm", "openblas", "blis", "onednn", "peak"]
HEAD = ["form", "batch x out x in", *COLUMNS, "to best", "of peak", "fixed's"]


def row(form, layer, rates):
    """The cells, and how dlc compares with the best peer."""
    peers = [rates[name] for name in COLUMNS[2:-1] if name in rates]
    ratio = rates["dlc"] / max(peers) if peers else math.nan
    cells = [form, layer, *(f"{rates[name]:.1f}" if name in rates else "" for name in COLUMNS)]
    return cells + [f"{ratio:.2f}", f"{rates['dlc'] / rates['peak']:.2f}", f"{rates['fixed'] / rates['peak']:.2f}"], ratio


def line(cells, given):
    if given.markdown:
        return "| " + " | ".join(cells) + " |"
    return f"{cells[0]:5}{cells[1]:17}" + "".join(f"{cell:>9}" for cell in cells[2:])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dlc", default=str(HERE.parent / "build/release/dlc"), help="the command to measure")
    parser.add_argument("--dlc-options", default="", help="more options for `dlc compile`")
    parser.add_argument("--layers", default="cubes,suite")
    parser.add_argument("--forms", default="nt,nn,tn")
    parser.add_argument("--rounds", type=int, default=30, help="of a millisecond for each contender, or of one product")
    parser.add_argument("--alone", action="store_true", help="without the libraries that are opened")
    parser.add_argument("--under", default="", help="words before the program, such as `taskset -c 1`")
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args()


def main():
    given = arguments()
    layers = [layer for word in given.layers.split(",") for layer in LAYERS.get(word, [word])]
    print(line(HEAD, given))
    if given.markdown:
        print("|" + " --- |" * len(HEAD))
    ratios, forward = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for layer in layers:
            sizes = dict(zip("boi", layer.split("x")))
            for form in given.forms.split(","):
                rates = measure(build(pathlib.Path(folder), form, sizes, given), layer, given)
                cells, ratio = row(form, layer, rates)
                ratios.append(ratio)
                forward.setdefault(layer, {})[form] = rates["dlc"]
                print(line(cells, given), flush=True)
    print(f"\ndlc / best peer: least {min(ratios):.2f}, geometric mean {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}")
    pairs = [f"{layer} {rates['tn'] / rates['nt']:.2f}" for layer, rates in forward.items() if {"tn", "nt"} <= rates.keys()]
    if pairs:
        print("gradient of the weights / forward: " + ", ".join(pairs))


if __name__ == "__main__":
    sys.exit(main())
