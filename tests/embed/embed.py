#!/usr/bin/env python3
"""The C program of examples/embed against `dlc train`: the same losses, accuracies and parameters, bit for bit.

usage: embed.py DLC ROOT FOLDER
"""
import json
import pathlib
import re
import struct
import subprocess
import sys


def output(*words):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True, text=True).stdout


def weights(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    values = data[8 + length:]
    return {name: values[t["data_offsets"][0]:t["data_offsets"][1]]
            for name, t in header.items() if name != "__metadata__" and not name.startswith("state.")}


def main():
    dlc, root, folder = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    source, data = root / "examples/embed/train.c", root / "examples/data/digits.csv"
    folder.mkdir(parents=True, exist_ok=True)
    output(dlc, root / "examples/digits.dl", "compile", "-o", folder / "digits.o")
    output("cc", "-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", folder, "-o", folder / "train", source,
           folder / "digits.o", "-Wl,--fatal-warnings")
    got = output(folder / "train", data, folder / "parameters.bin")
    said = output(dlc, root / "examples/digits.dl", "train", "--json", "--save", folder / "digits.safetensors")
    events = [json.loads(line) for line in said.splitlines()]
    expected = [f"epoch {e['epoch']:2d}  loss {e['train']['loss']:.9g}" for e in events if e["event"] == "epoch"]
    end = events[-1]
    expected += [f"valid  accuracy {end['valid']['accuracy']:.9g}", f"test   accuracy {end['test']['accuracy']:.9g}"]
    bad = 0
    for a, b in zip(got.splitlines(), expected, strict=True):
        if a != b:
            print(f"the program: {a}\ndlc train:   {b}")
            bad += 1
    params = (folder / "parameters.bin").read_bytes()
    places = dict((name, int(at)) for at, name in
                  re.findall(r"#define DIGITS_AT_\w+ (\d+) /\* ([\w.]+)", (folder / "digits.h").read_text()))
    saved = weights(folder / "digits.safetensors")
    if places.keys() != saved.keys():
        print(f"the header has {sorted(places)}, the weights have {sorted(saved)}")
        bad += 1
    for name, at in places.items():
        if params[at * 4:at * 4 + len(saved[name])] != saved[name]:
            print(f"{name} differs")
            bad += 1
    print(got.splitlines()[-1])
    return bad != 0


sys.exit(main())
