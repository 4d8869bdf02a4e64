#!/usr/bin/env python3
"""`dlc bench`: its JSON says what the plan says, its times fit together, and a comparison finds them again.

usage: bench.py DLC ROOT FOLDER
"""
import json
import pathlib
import re
import subprocess
import sys

failures = []
BROKEN = ["", "{", "[]", "{}", '{"step_ms":', '{"step_ms":1', '{"kernels":[{"name":"a"', '{"step_ms":"\\',
          '{"a":' + "[" * 100, '{"kernels":[{"name":1}]}', '{"a":nul}', '\x00']


def expect(condition, what):
    if not condition:
        failures.append(what)


def run(dlc, *words):
    return subprocess.run([dlc, *(str(w) for w in words)], capture_output=True, text=True, timeout=300)


def planned_kernels(dlc, model, function):
    """Names of the kernels of a function, from the plan."""
    plan = run(dlc, "compile", model, "--emit=plan", "--batch", "20").stdout
    section = plan.split(f"function {function}:")[1].split("\nfunction ")[0]
    return re.findall(r"^kernel ([\w.]+)", section, re.M)


def check_training(dlc, model, old):
    done = run(dlc, "bench", model, "--batch", "20", "--json")
    expect(done.returncode == 0, f"{done}")
    old.write_text(done.stdout)
    said = json.loads(done.stdout)
    kernels = said["kernels"]
    expect([k["name"] for k in kernels] == planned_kernels(dlc, model, "step"), "the kernels are not the plan's")
    for key in ("peak_gflops", "bandwidth_gbs", "forward_ms", "backward_ms", "step_ms", "compile_ms", "inference_ms",
                "inference_one_ms", "predicted_ms", "roofline", "flops", "bytes"):
        expect(said[key] > 0, f"{key}: {said[key]}")
    expect(said["live_bytes"] <= said["arena_bytes"] <= 1.3 * said["live_bytes"], f"arena: {said['arena_bytes']}")
    stages = sum(said[f"{stage}_ms"] for stage in ("library", "syntax", "sema", "ir", "diff", "plan", "codegen", "target"))
    expect(0.5 * said["compile_ms"] < stages <= said["compile_ms"], f"the stages took {stages} of {said['compile_ms']} ms")
    summary = json.loads(run(dlc, "summary", model, "--batch", "20", "--json").stdout)
    expect(abs(said["flops"] - summary["flops"]) <= 0.5, f"{said['flops']} FLOP, the summary has {summary['flops']}")
    expect(abs(sum(k["flops"] for k in kernels) - said["flops"]) <= 0.5, "the kernels' FLOP are not the step's")
    parts = sum(said[f"{part}_ms"] for part in ("forward", "backward", "update"))
    expect(abs(parts - sum(k["ms"] for k in kernels)) < 1e-6 * parts, "the parts are not the kernels'")
    sizes = [level["bytes"] for level in said["memory"]]
    expect(sizes == sorted(sizes) and len(sizes) >= 3, f"memory: {sizes}")
    for k in kernels:
        limit = max(k["flops"] / (said["peak_gflops"] * 1e6), 0)
        expect(k["predicted_ms"] >= limit * 0.999, f"{k} is predicted to be faster than the machine")
        expect(k["least_ms"] <= k["ms"] and k["bytes"] > 0, f"{k}")
    return kernels


def check_pairs(dlc, model):
    """With --bf16 there is a second peak, where the processor has one, and it is for contractions in pairs."""
    done = run(dlc, "bench", model, "--batch", "64", "--bf16", "--json")
    expect(done.returncode == 0, f"{done}")
    said = json.loads(done.stdout)
    peak, fast = said["peak_gflops"], said.get("peak_pairs_gflops")
    for k in said["kernels"] if fast else []:
        expect(k["predicted_ms"] >= k["flops"] / (max(peak, fast) * 1e6) * 0.999, f"{k} is predicted to be faster than the machine")
    expect(fast is None or fast > peak, f"{fast} GFLOP/s in pairs, {peak} without")


def check_parts(kernels):
    """Of one dense layer: scores and loss are forward, the gradient of the weights is backward."""
    forward = [k for k in kernels if re.match(r"d\.y|loss", k["name"])]
    expect(forward and all(k["part"] == "forward" for k in forward), f"forward: {kernels}")
    backward = [k for k in kernels if k["name"] == "d.w"]
    expect(len(backward) == 1 and backward[0]["part"] == "backward", f"backward: {kernels}")
    expect({k["line"] for k in forward} <= {5, 7} and forward[0]["line"] == 5, f"lines: {kernels}")


def check_compare(dlc, model, old, kernels):
    done = run(dlc, "bench", model, "--batch", "20", "--compare", old, "--json")
    said = json.loads(done.stdout)
    expect([k["was_ms"] for k in said["kernels"]] == [k["ms"] for k in kernels], "the old times are not found again")
    expect(said["was_step_ms"] == json.loads(old.read_text())["step_ms"], "the old step is not found again")
    expect(done.stderr == "", f"the same work is warned of: {done.stderr}")
    done = run(dlc, "bench", model, "--batch", "8", "--inference", "--compare", old)
    expect(f"warning: {old} is of model `scores`, batch 20; this is `scores`, batch 8" in done.stderr, f"{done}")
    for text in BROKEN:
        old.write_text(text)
        done = run(dlc, "bench", model, "--compare", old)
        expect(done.returncode == 1 and "is not what `dlc bench --json` writes" in done.stderr, f"{text!r}: {done}")
    done = run(dlc, "bench", model, "--compare", old.with_name("nowhere.json"))
    expect(done.returncode == 1 and "cannot read" in done.stderr, f"{done}")


def check_inference(dlc, model):
    """A table for people; a model without a loss has no step."""
    done = run(dlc, "bench", model, "--inference")
    expect(done.returncode == 0, f"{done}")
    expect("batch 1\n" in done.stdout and "backward" not in done.stdout and "whole step" not in done.stdout, done.stdout)
    expect(re.search(r"GFLOP/s in registers", done.stdout), done.stdout)
    expect(re.search(r"^d\.y.* forward +contract +5 .* %$", done.stdout, re.M), done.stdout)


def check_nest(dlc, model):
    """A nest touches what all its turns do."""
    model.write_text("model rows {\n    input x[64, 256]\n    output y = x -> layer_norm\n}\n")
    done = run(dlc, "bench", model, "--inference", "--batch", "40", "--json")
    expect(done.returncode == 0, f"{done}")
    nests = [k for k in json.loads(done.stdout)["kernels"] if k["kind"] == "nest"]
    written = 40 * 64 * 256 * 4
    expect(nests and all(2 * written < k["bytes"] < 5 * written for k in nests), f"{nests}")


def main():
    dlc, folder = sys.argv[1], pathlib.Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    model, old = folder / "model.dl", folder / "old.json"
    model.write_text("""model scores {
    input  x[40]
    target y: class(30)
    d = dense(30)
    s = x -> d
    output p = softmax(s)
    loss   cross_entropy(s, y)
    optimizer adam
}
""")
    kernels = check_training(dlc, model, old)
    check_pairs(dlc, model)
    check_parts(kernels)
    check_compare(dlc, model, old, kernels)
    check_inference(dlc, model)
    check_nest(dlc, folder / "rows.dl")
    print("\n".join(failures) or "bench says what the plan says")
    return bool(failures)


sys.exit(main())
