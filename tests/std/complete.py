#!/usr/bin/env python3
"""Every definition of compiler/std is tested, and the compiler knows none of their names.

usage: complete.py ROOT
"""
import pathlib
import re
import sys

# Words of the language that the library also uses for a definition of another kind, and what the printer of equations
# writes for a parameter that no text initialised.
WORDS = {"uniform", "normal", "zeros"}
# Words that C code uses for other things. As a text of their own they are still found.
ENGLISH = {"constant", "every", "join", "last", "normal", "ones", "pad", "reverse", "slice", "transpose", "uniform", "zeros"}


def definitions(root):
    for path in sorted(root.glob("compiler/std/*.dl")):
        for kind, name in re.findall(r"^(fn|layer|metric|optimizer|init) (\w+)", path.read_text(), re.M):
            yield path.name, kind, name


def without_prose(text):
    """C without comments and without texts of several words."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', lambda found: '""' if " " in found.group() else found.group(), text)


def words(text):
    """The words of a file, and again in quotes where they are texts of their own."""
    return set(re.findall(r'\w+|"\w+"', text)) | set(re.findall(r"\w+", text))


def knows(found, name):
    return (name not in WORDS and f'"{name}"' in found) or (name not in ENGLISH and name in found)


def main():
    root = pathlib.Path(sys.argv[1])
    known = list(definitions(root))
    derived = "".join(path.read_text() for path in sorted(root.glob("tests/std/*.dl")))
    valued = "".join((root / "tests/unit" / name).read_text() for name in ("library.c", "schedules.c"))
    valued += (root / "tests/golden/Inputs/library.dl").read_text()
    compiler = {path: words(without_prose(path.read_text())) for folder in ("compiler", "grammar", "runtime")
                for path in sorted((root / folder).rglob("*")) if path.suffix in (".c", ".h", ".def", ".y", ".l")}
    wrong = 0
    for file, kind, name in known:
        word = re.compile(rf"\b{name}\b")
        # A schedule is an expression of the step: there is nothing to derive it by.
        if kind in ("fn", "layer") and file != "schedules.dl" and not word.search(re.sub(r"#.*", "", derived)):
            print(f"{file}: no model in tests/std checks the derivative of {kind} {name}")
            wrong += 1
        if not word.search(valued):
            print(f"{file}: neither tests/unit/library.c, schedules.c nor tests/golden checks the values of {kind} {name}")
            wrong += 1
        for path, found in compiler.items():
            if knows(found, name):
                print(f"{path}: the compiler knows the name of {kind} {name}")
                wrong += 1
    print(f"{len(known)} definitions, {wrong} complaints")
    return wrong != 0 or not known


sys.exit(main())
