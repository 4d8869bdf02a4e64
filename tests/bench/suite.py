#!/usr/bin/env python3
"""Every model of bench/ compiles, and is in canonical form.

usage: suite.py DLC ROOT
"""
import pathlib
import subprocess
import sys


def main():
    dlc, folder = sys.argv[1], pathlib.Path(sys.argv[2]) / "bench"
    models, bad = sorted(folder.glob("*.dl")), 0
    for model in models:
        for words in (["check", model], ["fmt", model, "--check"]):
            done = subprocess.run([dlc, *words], capture_output=True, text=True)
            if done.returncode or done.stderr:
                print(f"{model.name}: {words[0]}: {done.stdout}{done.stderr}")
                bad += 1
    print(f"{len(models)} models")
    return bad != 0 or len(models) != 8


sys.exit(main())
