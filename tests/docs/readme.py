#!/usr/bin/env python3
"""What README.md shows is what the repository holds: the example, the library's layer, the derivatives.

usage: readme.py DLC ROOT
"""
import pathlib
import re
import subprocess
import sys


def without_comments(text):
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def main():
    dlc, root = sys.argv[1], pathlib.Path(sys.argv[2])
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", (root / "README.md").read_text(), re.M | re.S)
    blocks = [block for language, block in fences if not language]
    example = without_comments((root / "examples/digits.dl").read_text())
    library = (root / "compiler/std/layers.dl").read_text()
    done = subprocess.run([dlc, "compile", root / "examples/digits.dl", "--emit=grad"], capture_output=True, text=True)
    derived = set(done.stdout.splitlines())
    shown = {"example": 0, "layer": 0, "derivatives": 0}
    for block in blocks:
        if block.startswith("model"):
            shown["example"] += block.strip() == example
        if block.startswith("layer"):
            shown["layer"] += block.strip() in library
        if "grad." in block:
            shown["derivatives"] += all(line in derived for line in block.splitlines())
    print(f"of README.md these are true: {shown}")
    return set(shown.values()) != {1}


sys.exit(main())
