#!/usr/bin/env python3
"""Exit statuses, and what is said on which stream: 0 good, 1 the model or the data is wrong, 2 the command line is.

usage: exits.py DLC ROOT
"""
import pathlib
import subprocess
import sys
import tempfile

GOOD = "model m {\n    input  x\n    output y = 2 * x\n}\n"
TRAINED = ("model m {\n    input  x\n    param  w ~ ones\n    output y = w * x\n    loss   y^2\n"
           "    optimizer sgd\n}\n")
WRONG = "model m {\n    input  x\n    output y = z\n}\n"

# arguments, exit status, part of stdout, part of stderr ("" asks for an empty stream, None for anything)
CASES = [
    ("", 2, "", "verbs:"),
    ("--help", 0, "verbs:", ""),
    ("-h", 0, "verbs:", ""),
    ("help train", 0, "--epochs", ""),
    ("--version", 0, "dlc ", ""),
    ("train --help", 0, "--epochs", ""),
    ("train -h", 0, "--epochs", ""),
    ("good.dl train --help", 0, "--epochs", ""),
    ("check good.dl", 0, "", ""),
    ("good.dl check", 0, "", ""),
    ("check wrong.dl", 1, "", "wrong.dl:3:16: error:"),
    ("wrong.dl check", 1, "", "wrong.dl:3:16: error:"),
    ("summary wrong.dl", 1, "", "error:"),
    ("compile wrong.dl", 1, "", "error:"),
    ("check nowhere.dl", 1, "", "nowhere.dl"),
    ("check .", 1, "", "error:"),
    ("check", 2, "", "wants a .dl file"),
    ("check good.dl wrong.dl", 2, "", "wrong.dl"),
    ("good.dl", 2, "", "say what to do"),
    ("good.dl chekc", 2, "", "did you mean `check`?"),
    ("check good.dl --epochs 3", 2, "", "--epochs"),
    ("train good.dl --epochs", 2, "", "wants a value"),
    ("train good.dl --epochs=0", 2, "", "whole number from 1"),
    ("train good.dl --epoch 1", 2, "", "did you mean `--epochs`?"),
    ("train good.dl --bacth=1", 2, "", "did you mean `--batch`?"),
    ("train good.dl --colours 1", 2, "", "did you mean `--color`?"),
    ("train good.dl --quick", 2, "", "see `dlc train --help`"),
    ("generate good.dl --top-p 0", 2, "", "a number above 0, at most 1"),
    ("generate good.dl --top-p 1.5", 2, "", "a number above 0, at most 1"),
    ("train good.dl --epochs many", 2, "", "whole number from 1"),
    ("train good.dl --batch 2000000000", 2, "", "from 1 to 1000000000"),
    ("--epochs 3 train good.dl", 2, "", "options stand behind the file and the verb"),
    ("good.dl --epochs 3 train", 2, "", "options stand behind the file and the verb"),
    ("check marked.dl", 0, "", ""),
    ("fmt marked.dl", 0, "model m {", ""),
    ("train trained.dl --save .", 1, "", "cannot write .: Is a directory"),
    ("repl nowhere.dl", 1, "", "nowhere.dl"),
    ("train trained.dl --f64 --bf16", 2, "", "not of both"),
    ("train good.dl --seed -1", 2, "", "--seed"),
    ("train good.dl --set lr", 2, "", "NAME=NUMBER"),
    ("train good.dl --json=yes", 2, "", "takes no value"),
    ("check good.dl --color sometimes", 2, "", "--color"),
    ("gradcheck good.dl --tolerance tiny", 2, "", "--tolerance"),
    ("compile good.dl --emit soup", 2, "", "soup"),
    ("compile good.dl --emit=ir", 0, "2 * x", ""),
    ("compile good.dl --emit=ir -o out.txt", 0, "", ""),
    ("compile good.dl --emit=ir -o nowhere/out.txt", 1, "", "nowhere/out.txt"),
    ("compile good.dl -o -", 2, "", "two files"),
    ("compile good.dl --emit=obj,asm -o both", 2, "", "--emit=obj"),
    ("compile good.dl --cpu abacus", 1, "", "has no processor called `abacus`"),
    ("compile good.dl --target abacus", 1, "", "`abacus`"),
    ("compile good.dl --target i386-linux-gnu", 1, "", "64-bit pointers"),
    ("check good.dl --model m", 0, "", ""),
    ("summary good.dl --model n", 1, "", "`n`"),
    ("summary good.dl", 0, "model m", ""),
    ("fmt good.dl", 0, "input  x", ""),
    ("fmt good.dl --check", 0, "", ""),
    ("fmt ugly.dl --check", 1, "", "canonical"),
    ("train good.dl", 1, "", "loss"),
    ("eval good.dl", 2, "", "--weights"),
    ("predict good.dl", 2, "", "--weights"),
]


def matches(said, wanted):
    return wanted is None or (said == "" if wanted == "" else wanted in said)


def main():
    dlc = sys.argv[1]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, text in [("good.dl", GOOD), ("wrong.dl", WRONG), ("ugly.dl", GOOD.replace("2 * x", "2*x")),
                           ("marked.dl", "\ufeff" + GOOD), ("trained.dl", TRAINED)]:
            pathlib.Path(folder, name).write_text(text)
        for words, status, out, err in CASES:
            done = subprocess.run([dlc, *words.split()], capture_output=True, text=True, cwd=folder, timeout=60,
                                  stdin=subprocess.DEVNULL)
            if done.returncode == status and matches(done.stdout, out) and matches(done.stderr, err):
                continue
            failed += 1
            print(f"dlc {words}: exit status {done.returncode}, expected {status}\n"
                  f"  stdout: {done.stdout!r}, expected {out!r}\n  stderr: {done.stderr!r}, expected {err!r}")
    print(f"{len(CASES) - failed} of {len(CASES)} command lines behave")
    return failed != 0


sys.exit(main())
