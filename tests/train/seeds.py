#!/usr/bin/env python3
"""Trains with several seeds and asserts the median of a metric on held-back rows.

usage: seeds.py DLC MODEL.dl PART METRIC LEAST SEEDS [OPTIONS…]
"""
import json
import statistics
import subprocess
import sys


def score(dlc, model, part, metric, seed, options):
    done = subprocess.run([dlc, model, "train", "--json", "--seed", str(seed), *options],
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"exit status {done.returncode}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])[part][metric]


def main():
    dlc, model, part, metric, least, seeds = sys.argv[1:7]
    scores = [score(dlc, model, part, metric, seed, sys.argv[7:]) for seed in range(1, int(seeds) + 1)]
    median = statistics.median(scores)
    print(f"{model}: {metric} on {part} with {seeds} seeds: {scores}, median {median:.4f}, wanted {least}")
    return median < float(least)


sys.exit(main())
