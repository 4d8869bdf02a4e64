#!/usr/bin/env python3
"""Objects for other processors compute what those for this one do: small models are trained with the vectors that this one
has, with those of older ones, and with those of others under an emulator.

usage: machines.py DLC FOLDER

A machine that cannot be had here is left out, and it is said why.
"""
import pathlib
import platform
import shutil
import subprocess
import sys

BATCH, TOLERANCE = 10, 2e-4
MODELS = {"pictures": ("float", 3 * 12 * 12, 0), "sequences": ("float", 9 * 7, 0), "words": ("int32_t", 11, 12)}
# name, options of dlc, flags that /proc/cpuinfo must have
RELATIVES = [("x86-64", ["--target", "x86_64-linux-gnu", "--cpu", "x86-64"], []),
             ("x86-64-v3", ["--target", "x86_64-linux-gnu", "--cpu", "x86-64-v3"], ["avx2", "fma", "bmi2"])]
# name, options of dlc, compiler, emulator (with vectors of the processor's size)
STRANGERS = [("aarch64", ["--target", "aarch64-linux-gnu"], "aarch64-linux-gnu-gcc", "qemu-aarch64-static"),
             ("neoverse-v1", ["--target", "aarch64-linux-gnu", "--cpu", "neoverse-v1"], "aarch64-linux-gnu-gcc",
              "qemu-aarch64-static -cpu max,sve256=on,sve-default-vector-length=32"),
             ("a64fx", ["--target", "aarch64-linux-gnu", "--cpu", "a64fx"], "aarch64-linux-gnu-gcc",
              "qemu-aarch64-static -cpu max,sve512=on,sve-default-vector-length=64"),
             ("riscv64", ["--target", "riscv64-linux-gnu"], "riscv64-linux-gnu-gcc", "qemu-riscv64-static")]
SOURCES = pathlib.Path(__file__).parent / "Inputs"


def losses(dlc, folder, model, name, options, compiler, emulator):
    kind, elements, classes = MODELS[model]
    folder = folder / name / model
    folder.mkdir(parents=True)
    subprocess.run([dlc, SOURCES / "machines.dl", "compile", "--model", model, "--batch", str(BATCH), *options, "-o",
                    folder / f"{model}.o"], check=True, stderr=subprocess.DEVNULL)
    prefix = model.upper()
    defines = {"HEADER": f'"{model}.h"', "N": BATCH, "X": kind, "X_ELEMENTS": elements, "CLASSES": classes,
               "INIT": f"{model}_init", "STEP": f"{model}_step"}
    defines |= {what: f"{prefix}_{what}" for what in ("PARAMS", "STATE", "ARENA")}
    static = ["-static"] if emulator else []
    subprocess.run([compiler, "-O1", "-Wall", "-Wextra", "-Werror", *static, *(f"-D{n}={v}" for n, v in defines.items()), "-I",
                    folder, "-o", folder / "program", SOURCES / "machines.c", folder / f"{model}.o"], check=True)
    command = emulator.split() if emulator else []
    said = subprocess.run([*command, folder / "program"], check=True, capture_output=True, text=True).stdout
    return [float(line) for line in said.split()]


def machines():
    """The ones that can run here, and why others can't."""
    found, missing = [], []
    flags = set()
    if pathlib.Path("/proc/cpuinfo").exists():
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                flags = set(line.split())
    for name, options, needed in RELATIVES if platform.machine() == "x86_64" else []:
        lacking = [flag for flag in needed if flag not in flags]
        if lacking:
            missing.append(f"{name} is left out: this processor lacks {', '.join(lacking)}")
        else:
            found.append((name, options, "cc", None))
    for name, options, compiler, emulator in STRANGERS:
        lacking = [tool for tool in (compiler, emulator.split()[0]) if not shutil.which(tool)]
        if lacking:
            missing.append(f"{name} is left out: no {' and no '.join(lacking)}")
        else:
            found.append((name, options, compiler, emulator))
    return found, missing


def main():
    dlc, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    found, missing = machines()
    bad = 0
    for model in MODELS:
        expected = losses(dlc, folder, model, "native", [], "cc", None)
        for name, options, compiler, emulator in found:
            got = losses(dlc, folder, model, name, options, compiler, emulator)
            worst = max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(got, expected, strict=True))
            fits = worst < TOLERANCE
            bad += not fits
            print(f"{name}: the losses of {model} {'agree' if fits else 'differ'}, to {worst:.1e}")
    for line in missing:
        print(line)
    return bad != 0


sys.exit(main())
