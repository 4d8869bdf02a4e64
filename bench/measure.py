"""Runs a program that measures itself, and prints the tables of what all of them said."""
import json
import os
import resource
import statistics
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def busy():
    """Seconds of processor time that the machine has worked so far."""
    with open("/proc/stat") as file:
        values = [int(v) for v in file.readline().split()[1:9]]
    return (sum(values) - values[3] - values[4]) / TICKS


def children():
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def run(words, given, environment=None):
    """Runs a program on as many cores as it has threads. Its JSON lines, each with the processors that others used
    meanwhile, and the seconds from its start to its end; (None, message) when it failed."""
    threads = {name: str(given.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS")}
    cores = sorted(os.sched_getaffinity(0))[:given.threads]
    own, all_, start = children(), busy(), time.time()
    said = subprocess.run([str(w) for w in words], capture_output=True, text=True,
                          env=os.environ | threads | {"BENCH_T0": repr(start)} | (environment or {}),
                          preexec_fn=lambda: os.sched_setaffinity(0, cores))
    wall = time.time() - start
    foreign = max(0.0, (busy() - all_ - (children() - own)) / wall)
    lines = []
    for line in said.stdout.splitlines():
        try:
            lines.append(json.loads(line) | {"foreign": round(foreign, 3)})
        except (ValueError, TypeError):
            pass
    if said.returncode or not lines:
        return None, said.stderr.strip()[-300:] or f"exit status {said.returncode}"
    return lines, wall


# ---- tables -----------------------------------------------------------------------------------


def collect(results):
    """(mode, model) → peer → variant → its medians and minima over the rounds"""
    table = {}
    for r in results:
        row = table.setdefault((r["mode"], r["model"]), {}).setdefault(r["peer"], {})
        row.setdefault(r.get("variant", ""), []).append((r["median_ms"], r["min_ms"]))
    return table


def best(variants):
    """The variant with the smallest median: its median over the rounds, the least minimum, its name."""
    return min((statistics.median(m for m, _ in times), min(low for _, low in times), name)
               for name, times in variants.items())


def milliseconds(ms):
    return f"{ms * 1e3:.3g} us" if ms < 0.1 else f"{ms:.4g} ms"


def rate(model, mode, ms, suite):
    if mode == "cold":
        return ""
    gflop = suite.step_gflop(model) if mode == "train" else suite.infer_gflop(model)
    return f"{gflop / ms * 1e3:.3g} GFLOP/s"


def report(results, good, given):
    """A line for each model and mode: dlc, the best variant of each peer, and how many times dlc is faster."""
    last = None
    for (mode, model), row in collect(results).items():
        if mode != last:
            print(f"\n{mode}, {given.threads} thread{'s' if given.threads > 1 else ''}: "
                  f"median (least); ratio = peer / dlc of the medians (of the least)")
        last = mode
        if "dlc" not in row:
            continue
        median, low, _ = best(row["dlc"])
        said = f"{model:9} dlc {milliseconds(median)} ({milliseconds(low)}) {rate(model, mode, median, given.suite)}"
        print(said if good[model] else said + "   LOSSES NOT AS PYTORCH'S: does not count")
        for peer, variants in row.items():
            if peer == "dlc":
                continue
            m, least, name = best(variants)
            print(f"{'':9} {peer} {milliseconds(m)} ({milliseconds(least)}) ratio {m / median:.2f} ({least / low:.2f})   {name}")
