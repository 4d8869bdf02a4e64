#!/usr/bin/env python3
"""Times dlc and its peers on the suite, in turn, and prints ratios.

usage: run.py --peers FOLDER [--dlc DLC] [--models tiny,mlp] [--modes train,infer,cold] [--rounds N] ...

FOLDER (or $DLC_PEERS) is the peers' side: suite.py, which says what the work is and makes the weights and batches that all
begin with, and each peer's program. A peer that is not installed is left out with a message. A time of dlc counts only
when its first twenty losses are those of PyTorch.

Places of what peers need, all optional: PEER_PYTHON (a python with torch and numpy), PEER_LIB (folder of BLAS variants and
allocators), PEER_NODE_MODULES and PEER_ONNX (onnxruntime-node, exported models), PEER_TINYGRAD (a checkout).

docs/performance.md describes the method. One JSON line for each measurement goes to --out.
"""
import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

import dlc
import peers
from measure import report

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ["tiny", "tiny1", "mlp", "lenet", "resnet20", "lstm", "gpt", "gpt124m"]
STEPS = 20
BF16_TOLERANCE = 2e-2
# Rounding is amplified in these two: PyTorch drifts from itself as far when its memory layout changes.
TOLERANCE = {"lenet": 1e-3, "resnet20": 3e-2}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=os.environ.get("DLC_PEERS"), help="folder of the peers' side")
    parser.add_argument("--dlc", default=str(ROOT / "build/release/dlc"), help="the command to measure")
    parser.add_argument("--models", default=",".join(MODELS[:-1]), help="default: all but gpt124m, which takes minutes")
    parser.add_argument("--modes", default="train,infer,cold", help="train, infer, cold, check (the losses alone)")
    parser.add_argument("--only", default="", help="peers to run, by the beginning of their name; `dlc`: none")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2, help="of steps, after a second of warm-up")
    parser.add_argument("--threads", type=int, default=1, help="of the peers, and cores that a process may use")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall",
                        help="processor: the time that it worked for each program; for one thread, on a machine that is not idle")
    parser.add_argument("--dlc-options", default="", help="more options for `dlc compile` and `dlc train`")
    parser.add_argument("--bf16", action="store_true", help="also dlc with --bf16, as if it were another peer")
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "dlc-bench"))
    parser.add_argument("--out", help="file to which JSON lines are added")
    given = parser.parse_args()
    if not given.peers:
        parser.error("--peers FOLDER is missing (or set DLC_PEERS)")
    given.processor = given.clock == "processor"
    if given.processor and given.threads > 1:
        parser.error("--clock processor goes with one thread")
    return given


def compare_losses(model, ours, theirs):
    """The first step at which the losses differ, as text; None when they agree."""
    allowed = TOLERANCE.get(model, 1e-4)
    for step, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
        if not abs(a - b) <= allowed * abs(b) + 5e-6:  # theirs are printed with five decimals
            return f"step {step}: {a:.6g}, PyTorch has {b:.6g}"
    return None


def check(model, given, ours, reference):
    if not reference:
        print(f"{model}: PyTorch is not there: the losses are not checked", flush=True)
        return False
    theirs = reference.losses(model, given)
    wrong = compare_losses(model, ours, theirs)
    worst = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))
    print(f"{model}: " + (f"WRONG losses, {wrong}" if wrong else f"{STEPS} losses agree, to {worst:.1e} relative"), flush=True)
    return not wrong


def check_bf16(model, ours, exact):
    """Rounded to eight bits of a fraction, the losses must still be about the same."""
    worst = max(abs(a - b) / max(abs(b), 0.1) for a, b in zip(ours, exact, strict=True))
    good = worst <= BF16_TOLERANCE
    print(f"{model}: with --bf16 the losses {'agree' if good else 'DIFFER'}, to {worst:.1e} relative", flush=True)
    return good


def measure_model(model, mode, given, programs, results):
    """One round: dlc, then each peer."""
    for program in programs:
        if not program.can(model, mode):
            continue
        for result in program.measure(model, mode, given):
            result |= {"model": model, "mode": mode, "threads": given.threads, "clock": given.clock, "time": round(time.time())}
            results.append(result)
            print(f"  {mode:5} {model:9} {result['peer'] + ' ' + result.get('variant', ''):38} "
                  f"median {result['median_ms']:11.5f} ms   min {result['min_ms']:11.5f}   "
                  f"foreign load {result['foreign']:.2f}", flush=True)
            if given.out:
                with open(given.out, "a") as out:
                    out.write(json.dumps(result) + "\n")


def main():
    given = arguments()
    sys.path.insert(0, given.peers)
    import suite  # the peers' side

    given.suite = suite
    given.work = pathlib.Path(given.work)
    modes = given.modes.split(",")
    found = peers.installed(given)
    reference = next((p for p in found if p.name == "torch"), None)
    chosen = [p for p in found if any(p.label.startswith(o) for o in given.only.split(","))]
    good, results = {}, []
    for model in given.models.split(","):
        ours = dlc.Dlc(model, given)
        good[model] = check(model, given, ours.losses(STEPS), reference)
        half = [dlc.Dlc(model, given, bf16=True)] if given.bf16 else []
        for program in half:
            good[model] &= check_bf16(model, program.losses(STEPS), ours.losses(STEPS))
        for mode in modes if modes != ["check"] else []:
            for _ in range(given.rounds):
                measure_model(model, mode, given, [ours, *half, *chosen], results)
    report(results, good, given)
    return 0 if all(good.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
