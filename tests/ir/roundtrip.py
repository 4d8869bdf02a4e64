"""Models printed as equations are models again: what `compile --emit=ir` and `--emit=diff` print is
accepted by `check` and gives the same text when it is printed again.

usage: roundtrip.py DLC FOLDER FILE...      FOLDER: for the printed models
"""
import pathlib
import re
import subprocess
import sys

dlc, folder, files = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
folder.mkdir(parents=True, exist_ok=True)
failures = done = 0


def run(*arguments):
    return subprocess.run([dlc, *arguments], capture_output=True, text=True, timeout=300)


def fail(what, detail):
    global failures
    failures += 1
    print(f"{what}:\n{detail}")


def difference(first, second):
    for a, b in zip(first.splitlines(), second.splitlines()):
        if a != b:
            return f"  {a}\nthen\n  {b}"
    return "one is longer"


def check(path, model, stage):
    global done
    what = f"{path.name}, {model}, {stage}"
    first = run(str(path), "compile", "--model", model, f"--emit={stage}")
    if first.returncode:
        if "no loss" not in first.stderr:
            fail(what, first.stderr)
        return
    printed = folder / f"{path.stem}.{model}.{stage}.dl"
    printed.write_text(first.stdout)
    checked = run("check", str(printed))
    if checked.returncode:
        fail(f"{what}: {printed} is not accepted", checked.stderr)
        return
    second = run(str(printed), "compile", "--emit=ir")
    if second.stdout != first.stdout:
        fail(f"{what}: printed again it is different", second.stderr + difference(first.stdout, second.stdout))
    done += 1


for name in files:
    path = pathlib.Path(name)
    for model in re.findall(r"^model\s+(\w+)", path.read_text(), re.MULTILINE):
        for stage in ("ir", "diff"):
            check(path, model, stage)
print(f"{done} printed models, {failures} failures")
sys.exit(1 if failures or not done else 0)
