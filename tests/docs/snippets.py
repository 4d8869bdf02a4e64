#!/usr/bin/env python3
"""Runs every example of a page: ```dl blocks through `dlc check --verify`, ```repl blocks through the REPL.

usage: snippets.py DLC PAGE.md
"""
import pathlib
import re
import subprocess
import sys
import tempfile


def blocks(text):
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        line = text.count("\n", 0, found.start()) + 2
        yield found.group(1), found.group(2), line


def check(dlc, code, where):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "snippet.dl")
        path.write_text(code)
        done = subprocess.run([dlc, "check", "--verify", path], capture_output=True, text=True)
    if done.returncode:
        print(f"{where}: {done.stdout}{done.stderr}")
    return done.returncode == 0


def converse(dlc, text, where):
    typed, expected = [], []
    for line in text.splitlines():
        if line.startswith(("dlc> ", "...> ")):
            typed.append(line[5:])
        else:
            expected.append(line)
    done = subprocess.run([dlc, "repl"], input="\n".join(typed) + "\n", capture_output=True, text=True)
    got = done.stdout.splitlines()
    if got != expected or done.returncode:
        print(f"{where}: expected {expected}\n  got {got}\n{done.stderr}")
        return False
    return True


def main():
    dlc, page = sys.argv[1:3]
    run = {"dl": check, "repl": converse}
    results = [run[kind](dlc, code, f"{page}:{line}")
               for kind, code, line in blocks(pathlib.Path(page).read_text()) if kind in run]
    print(f"{sum(results)} of {len(results)} examples of {page} are right")
    return not results or not all(results)


sys.exit(main())
