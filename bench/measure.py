"""Runs a program that measures itself, and prints the tables of what all of them said."""
import json
import os
import resource
import statistics
import subprocess
import tempfile
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


def output(words, until, **how):
    """What a program writes, its messages and its exit status; with `until` it is ended at the line that has this text."""
    with tempfile.TemporaryFile("w+") as messages, \
         subprocess.Popen(words, stdout=subprocess.PIPE, stderr=messages, text=True, **how) as program:
        said, ended = "", False
        for line in program.stdout:
            said += line
            if until and until in line:
                ended = True
                program.kill()
                break
        status = program.wait()
        messages.seek(0)
        return said, messages.read(), 0 if ended else status


def run(words, given, environment=None, until=None):
    """Runs a program on as many cores as it has threads. Its JSON lines, each with the processors that others used
    meanwhile, and the seconds from its start to its end (or to the line with the text `until`, where it is ended), or those
    that the processor worked for it; (None, message) when it failed."""
    threads = {name: str(given.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS")}
    cores = sorted(os.sched_getaffinity(0))[:given.threads]
    own, all_, start = children(), busy(), time.time()
    said, messages, status = output([str(w) for w in words], until,
                                    env=os.environ | threads | {"BENCH_T0": repr(start)} | (environment or {}),
                                    preexec_fn=lambda: os.sched_setaffinity(0, cores))
    wall, worked = time.time() - start, children() - own
    foreign = max(0.0, (busy() - all_ - worked) / wall)
    lines = []
    for line in said.splitlines():
        try:
            lines.append(json.loads(line) | {"foreign": round(foreign, 3)})
        except (ValueError, TypeError):
            pass
    if status or not lines:
        return None, messages.strip()[-300:] or f"exit status {status}"
    return lines, worked if given.processor else wall


# ---- tables -----------------------------------------------------------------------------------


def collect(results):
    """(mode, model) → peer → variant → its medians and minima over the rounds"""
    table = {}
    for r in results:
        row = table.setdefault((r["mode"], r["model"]), {}).setdefault(r["peer"], {})
        row.setdefault(r.get("variant", ""), []).append((r["median_ms"], r["min_ms"]))
    return table


def best(variants):
    """The smallest median of a variant (over the rounds), and the least time of any, each with the variant's name."""
    median = min((statistics.median(m for m, _ in times), name) for name, times in variants.items())
    least = min((min(low for _, low in times), name) for name, times in variants.items())
    return *median, *least


def milliseconds(ms):
    return f"{ms * 1e3:.3g} us" if ms < 0.1 else f"{ms:.4g} ms"


def rate(model, mode, ms, suite):
    if mode == "cold":
        return ""
    gflop = suite.step_gflop(model) if mode == "train" else suite.infer_gflop(model)
    return f"{gflop / ms * 1e3:.3g} GFLOP/s"


def report_model(model, mode, row, good, given):
    median, _, least, _ = best(row["dlc"])
    said = f"{model:9} dlc {milliseconds(median)} ({milliseconds(least)}) {rate(model, mode, least, given.suite)}"
    print(said if good else said + "   LOSSES NOT AS PYTORCH'S: does not count")
    for peer, variants in row.items():
        if peer == "dlc":
            continue
        m, name, low, low_name = best(variants)
        names = name if name == low_name else f"{name} ({low_name})"
        print(f"{'':9} {peer} {milliseconds(m)} ({milliseconds(low)})  ratio {m / median:.2f} ({low / least:.2f})   {names}")


def report(results, good, given):
    """For each mode and model: dlc, the best variant of each peer, and how many times dlc is faster."""
    table = collect(results)
    for mode in dict.fromkeys(mode for mode, _ in table):
        print(f"\n{mode}, {given.threads} thread{'s' if given.threads > 1 else ''}, {given.clock} time: "
              "median (least); ratio = peer / dlc of the medians (of the least); GFLOP/s of the least")
        for (its_mode, model), row in table.items():
            if its_mode == mode and "dlc" in row:
                report_model(model, mode, row, good[model], given)
