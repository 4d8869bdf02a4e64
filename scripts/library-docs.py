#!/usr/bin/env python3
"""Writes docs/library.md from the comments and definitions of compiler/std.

usage: library-docs.py           writes it
       library-docs.py --check   says whether it is up to date
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/library.md"
ORDER = ["layers", "activations", "images", "norms", "shapes", "sequences", "attention", "augment", "losses", "metrics", "optimizers", "schedules", "initialisers"]
HEAD = """# The library

<!-- Written by scripts/library-docs.py from compiler/std; do not edit it here. -->

Everything here is written in the language itself, in `compiler/std`, and can be replaced: a file may define the same names anew,
and its own models then use its own. Above each definition are its formula, the shapes it takes and gives, and where it is from.
`[..]` stands for any dimensions.
"""
DEFINITION = re.compile(r"^(fn|layer|metric|optimizer|init) (\w+)")
# The first line of where a definition is from: names and a year.
SOURCE = re.compile(r"^[A-Z][^.]*(et al\. )?\b(19|20)\d\d\b")


def groups(text):
    """The comment that opens the file, then each comment with the definitions below it."""
    blocks = re.split(r"\n\n(?=#|fn|layer|metric|optimizer|init)", text.strip("\n"))
    for block in blocks:
        lines = block.split("\n")
        comment = []
        while lines and lines[0].startswith("#"):
            comment.append(lines.pop(0)[1:].removeprefix(" "))
        yield comment, lines


def paragraphs(comment):
    """Prose, then where it is from; lines that are indented stay as they are."""
    at = next((i for i, line in enumerate(comment) if SOURCE.match(line)), len(comment))
    out, code = [], False
    for line in comment[:at]:
        if line.startswith("    ") != code:
            code = not code
            out.append("")
        out.append(line)
    if at < len(comment):
        out += ["", "*" + " ".join(comment[at:]) + "*"]
    return "\n".join(out).strip("\n")


def section(path, slugs):
    (intro, _), *rest = list(groups(path.read_text()))
    listed, body = [], []
    for comment, code in rest:
        names = [found.group(2) for line in code if (found := DEFINITION.match(line))]
        if not names or not comment:
            sys.exit(f"{path.name}: a definition without a comment, or a comment without a definition: {(comment + code)[0]}")
        title = ", ".join(names)
        slug = title.replace(",", "").replace(" ", "-")
        slugs[slug] = slugs.get(slug, -1) + 1
        slug += f"-{slugs[slug]}" if slugs[slug] else ""
        listed += [f"[{name}](#{slug})" for name in names]
        body.append(f"### {title}\n\n{paragraphs(comment)}\n\n```dl\n" + "\n".join(code) + "\n```\n")
    return f"## {path.stem.capitalize()}\n\n{paragraphs(intro)}\n\n{', '.join(listed)}\n\n" + "\n".join(body)


def main():
    files = {path.stem: path for path in (ROOT / "compiler/std").glob("*.dl")}
    order = ORDER + sorted(set(files) - set(ORDER))
    slugs = {}
    text = HEAD + "\n" + "\n".join(section(files[name], slugs) for name in order if name in files)
    if "--check" not in sys.argv:
        PAGE.write_text(text)
    elif PAGE.read_text() != text:
        sys.exit("docs/library.md is not what compiler/std says: run scripts/library-docs.py")


main()
