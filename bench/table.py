#!/usr/bin/env python3
"""The tables of docs/performance.md from the JSON lines of run.py.

usage: table.py --peers FOLDER RESULTS.jsonl...
"""
import argparse
import json
import os
import sys

from measure import best, collect, milliseconds

MODELS = ["tiny", "tiny1", "mlp", "lenet", "resnet20", "lstm", "gpt", "gpt124m"]
TITLES = {"train": "Training: a step", "infer": "Inference: one example",
          "cold": "Cold: the start of the process to the end of the first step"}


def cell(variants):
    median, _, least, _ = best(variants)
    return f"{milliseconds(median)} ({milliseconds(least)})".replace("us", "µs")


def row(model, mode, results, peers, suite):
    median, _, least, _ = best(results["dlc"])
    cells = [model, cell(results["dlc"])]
    if mode != "cold":
        gflop = suite.step_gflop(model) if mode == "train" else suite.infer_gflop(model)
        cells.append(f"{gflop / least * 1e3:.3g}")
    for peer in peers:
        if peer not in results:
            cells += ["", ""]
            continue
        its_median, _, its_least, _ = best(results[peer])
        cells += [cell(results[peer]), f"{its_median / median:.2f} ({its_least / least:.2f})"]
    return cells


def put_table(mode, threads, table, suite):
    rows = [(model, table[mode, model]) for model in MODELS if "dlc" in table.get((mode, model), {})]
    if not rows:
        return
    peers = list(dict.fromkeys(peer for _, results in rows for peer in results if peer != "dlc"))
    head = ["model", "dlc: median (least)", *(["GFLOP/s"] if mode != "cold" else [])]
    head += [text for peer in peers for text in (f"{peer}, best variant", "ratio: medians (least)")]
    print(f"{TITLES[mode]}, {threads} thread{'s' if threads > 1 else ''}.\n")
    for cells in [head, ["---"] * len(head), *(row(model, mode, results, peers, suite) for model, results in rows)]:
        print("| " + " | ".join(cells) + " |")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=os.environ.get("DLC_PEERS"), help="folder of the peers' side")
    parser.add_argument("results", nargs="+")
    given = parser.parse_args()
    if not given.peers:
        parser.error("--peers FOLDER is missing (or set DLC_PEERS)")
    sys.path.insert(0, given.peers)
    import suite  # the peers' side

    results = []
    for path in given.results:
        with open(path) as file:
            results += [json.loads(line) for line in file]
    for threads in sorted({r["threads"] for r in results}):
        table = collect([r for r in results if r["threads"] == threads])
        for mode in TITLES:
            put_table(mode, threads, table, suite)


if __name__ == "__main__":
    main()
