#!/usr/bin/env python3
"""Who may include whom: a stage sees only the stages before it, and of those only their one header."""
import pathlib
import re
import subprocess
import sys

SEES = {
    "support": [],
    "syntax": ["support"],
    "ir": ["support"],
    "sema": ["support", "syntax", "ir", "abi"],
    "diff": ["support", "ir"],
    "plan": ["support", "ir"],
    "codegen": ["support", "ir", "plan", "sema", "abi", "llvm"],
    "target": ["support", "ir", "plan", "codegen", "abi", "llvm"],
    "driver": ["public"],
    "runtime": ["abi"],
    # dlc.c, pipeline.c and their like: every stage's header
    "pipeline": ["support", "syntax", "ir", "sema", "diff", "plan", "codegen", "target", "abi", "llvm", "public"],
}
# Beside STAGE/STAGE.h: headers that another stage may include.
OPEN = {"syntax/tree.h", "syntax/tree.def", "ir/ops.def", "codegen/export.h", "target/header.h"}
# codegen names exported functions as the header does.
ALLOWED = {("codegen", "target/header.h")}


def stage_of(path):
    parts = path.split("/")
    if parts[0] == "runtime":
        return "runtime"
    if parts[0] == "grammar":
        return "syntax"
    return parts[1] if len(parts) > 2 else "pipeline"


def kind_of(include):
    if include in ("dlc.h", "runtime/dlrt.h"):
        return "public"
    if include == "runtime/abi.h":
        return "abi"
    if include.startswith("llvm-c/"):
        return "llvm"
    return include.split("/")[0]


def main():
    files = subprocess.run(["git", "ls-files", "compiler/*.[chly]", "runtime/*.[ch]", "grammar/*"],
                           capture_output=True, text=True, check=True).stdout.split()
    bad = 0
    for path in files:
        own = stage_of(path)
        for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
            found = re.match(r'\s*#include [<"]((?:[a-z]+/)?[a-z0-9_.-]+)[>"]', line, re.I)
            if not found:
                continue
            include = found.group(1)
            kind = kind_of(include)
            if kind not in SEES and kind not in ("abi", "llvm", "public"):
                continue  # the system's
            if kind == own or (own, include) in ALLOWED or path == "compiler/dlc.h":
                continue
            fits = kind in SEES[own] or (kind == "public" and own in ("runtime", "pipeline"))
            whole = kind in ("abi", "llvm", "public", "support") or include in OPEN or include == f"{kind}/{kind}.h"
            if not (fits and whole):
                print(f"{path}:{number}: {own} may not include {include}")
                bad += 1
    return bad != 0


sys.exit(main())
