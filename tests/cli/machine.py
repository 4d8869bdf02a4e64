#!/usr/bin/env python3
"""What programs read: the JSON of every verb that has it, on iris.

usage: machine.py DLC ROOT FOLDER
"""
import json
import math
import pathlib
import subprocess
import sys

failures = []


def expect(condition, what):
    if not condition:
        failures.append(what)


def run(dlc, *words):
    done = subprocess.run([dlc, *words, "--json"], capture_output=True, text=True, timeout=300)
    expect(done.returncode == 0, f"{words}: exit status {done.returncode}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_scores(scores, where):
    expect(set(scores) == {"loss", "accuracy"}, f"{where}: {scores}")
    expect(math.isfinite(scores["loss"]) and 0 <= scores["accuracy"] <= 1, f"{where}: {scores}")


def check_train(dlc, model, weights):
    lines = run(dlc, "train", model, "--epochs", "4", "--save", weights)
    expect([line["event"] for line in lines] == ["first"] + ["epoch"] * 4 + ["end"], f"events: {lines}")
    first = lines.pop(0)
    expect(math.isfinite(first["train"]["loss"]) and first["seconds"] > 0, f"first: {first}")
    for number, line in enumerate(lines[:-1], 1):
        expect(line["epoch"] == number, f"epoch {number}: {line}")
        expect(math.isfinite(line["train"]["loss"]), f"epoch {number}: {line}")
        check_scores(line["valid"], f"epoch {number}")
        expect(line["seconds"] >= 0, f"epoch {number}: {line}")
    expect(lines[0]["train"]["loss"] > lines[3]["train"]["loss"], "the loss does not fall")
    end = lines[-1]
    expect(end["epochs"] == 4 and end["seconds"] > 0, f"end: {end}")
    check_scores(end["train"], "end, train")
    check_scores(end["valid"], "end, valid")
    expect("test" not in end, f"a test part out of nowhere: {end}")
    return end


def check_eval(dlc, model, weights, end):
    for part in ("train", "valid"):
        (scores,) = run(dlc, "eval", model, "--weights", weights, "--part", part)
        expect(scores == end[part], f"eval of {part} says {scores}, training said {end[part]}")
    expect(run(dlc, "eval", model, "--weights", weights) == [end["valid"]], "the last part is not what is evaluated")


def check_predict(dlc, model, weights, end):
    rows = run(dlc, "predict", model, "--weights", weights)
    expect(len(rows) == 45, f"{len(rows)} predictions for 45 flowers")
    for number, row in enumerate(rows):
        expect(row["example"] == number and row["part"] == "valid", f"{row}")
        expect(len(row["p"]) == 3 and abs(sum(row["p"]) - 1) < 1e-5, f"{row}")
        kinds = ["Iris-setosa", "Iris-versicolor", "Iris-virginica"]
        expect(row["class"] == kinds[row["p"].index(max(row["p"]))], f"{row}")
    expect(run(dlc, "predict", model, "--weights", weights, "--count", "7") == rows[:7], "--count 7 differs")


def check_summary(dlc, model):
    (summary,) = run(dlc, "summary", model)
    expect(summary["parameters"] == 4 * 16 + 16 + 16 * 3 + 3, f"{summary}")
    for key in ("flops", "arena_bytes", "inference_arena_bytes", "params_bytes", "state_bytes"):
        expect(summary[key] > 0, f"{key}: {summary}")
    expect(sum(layer["parameters"] for layer in summary["layers"]) == summary["parameters"], f"{summary}")
    shapes = {layer["name"]: layer["shape"] for layer in summary["layers"]}
    expect(shapes.get("dense1") == "[16]" and shapes.get("dense2") == "[3]", f"{shapes}")


def check_others(dlc, model, folder):
    (gradients,) = run(dlc, "gradcheck", model)
    expect(0 <= gradients["max_relative_error"] <= 1e-6, f"{gradients}")
    expect(isinstance(gradients["worst"], str) and gradients["compared"] > 0, f"{gradients}")
    expect(run(dlc, "check", model) == [], "check has something to say")
    broken = pathlib.Path(folder, "broken.dl")
    broken.write_text("model m {\n    input x\n    output y = xx\n}\n")
    done = subprocess.run([dlc, "check", str(broken), "--json"], capture_output=True, text=True)
    message = json.loads(done.stdout.splitlines()[0])
    expect(done.returncode == 1 and message["severity"] == "error", f"{done}")
    expect((message["line"], message["column"]) == (3, 16) and message["file"] == str(broken), f"{message}")


def main():
    dlc, root, folder = sys.argv[1:4]
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    model = str(pathlib.Path(root, "examples", "iris.dl"))
    weights = str(pathlib.Path(folder, "iris.safetensors"))
    end = check_train(dlc, model, weights)
    check_eval(dlc, model, weights, end)
    check_predict(dlc, model, weights, end)
    check_summary(dlc, model)
    check_others(dlc, model, folder)
    print("\n".join(failures) or "every JSON is as documented")
    return bool(failures)


sys.exit(main())
