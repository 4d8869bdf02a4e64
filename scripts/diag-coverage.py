#!/usr/bin/env python3
"""Every message that a user can be given has a test that expects it.

A message is the format of a diag_error, diag_warning, diag_note, diag_help or error_set call. It counts as tested when the longest piece of
it between two conversions, or a good part of that, stands in an expectation: `expect-error {{…}}`, a case of
tests/broken, a CHECK line or a string of a unit test. Prints those that do not.
"""
import pathlib
import re
import subprocess
import sys

CALL = re.compile(r'\b(diag_error|diag_warning|diag_note|diag_help|error_set)\(((?:[^;"]|"(?:[^"\\]|\\.)*")*?)((?:"(?:[^"\\]|\\.)*"\s*)+)', re.S)
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
CONVERSION = re.compile(r"%[-+ #0-9.*]*(?:ll|l|z|h)?[a-zA-Z]|%%")
# What no test can bring about: the machine's own failures.
BEYOND = ("memory", "LLVM", "stdout", "cannot write", "cannot read", "cannot %s: %s", "%s")
# What only a mistake of ours, or another user of the public headers, can bring about: an earlier stage refuses it.
GUARDS = ("there is no stage `%s`", "an input has no default", "here the name of an initialiser is wanted",
          "this is too complex to parse (%s)", "a picture has one or three channels, and there is at least one")


def texts(pattern):
    names = subprocess.run(["git", "ls-files", *pattern], capture_output=True, text=True, check=True).stdout.split()
    return {name: pathlib.Path(name).read_text(errors="replace") for name in names}


def unescaped(text):
    return text.replace('\\"', '"').replace("\\\\", "\\").replace("\\n", "\n")


def messages():
    for name, text in texts(["compiler/*.c", "runtime/*.c", "grammar/*"]).items():
        for found in CALL.finditer(text):
            message = "".join(unescaped(s) for s in STRING.findall(found.group(3)))
            yield name, text.count("\n", 0, found.start()) + 1, message


def expected():
    """Everything that a test expects, with blanks evened out."""
    parts = []
    for name, text in texts(["tests/*", "docs/language.md"]).items():
        if name.endswith(".cases"):
            parts += re.findall(r"^=== .*?\| (.*?) \|", text, re.M)
        elif name.endswith(".c") or name.endswith(".h"):
            joined = re.sub(r'"\s*\n\s*"', "", text)
            parts += [unescaped(s) for s in STRING.findall(joined)]
        elif name.endswith(".py"):
            parts += [a or b for a, b in re.findall(r'"([^"\n]*)"|\'([^\'\n]*)\'', text)]
        else:
            parts += re.findall(r"\{\{(.*?)\}\}", text) + re.findall(r"^.*?[A-Z-]+: (.*)$", text, re.M)
    return [p for p in {re.sub(r"\s+", " ", p).strip() for p in parts} if len(p) >= 4]


def is_tested(message, expectations):
    pieces = [re.sub(r"\s+", " ", p) for p in CONVERSION.split(message)]
    pattern = "(.*)".join(re.escape(p) for p in pieces)
    for e in expectations:
        if any(len(p.strip()) >= 6 and p.strip(" `;:,.'") in e for p in pieces):
            return True
        if len(e) >= 6 and any(e in p for p in pieces):
            return True
        if re.fullmatch(pattern, e):
            return True
    return False


def main():
    expectations = expected()
    untested = [(name, line, m) for name, line, m in messages()
                if not any(b in m if b != "%s" else m == b for b in BEYOND) and m not in GUARDS and not is_tested(m, expectations)]
    for name, line, message in untested:
        print(f"{name}:{line}: no test expects: {message}")
    return bool(untested)


sys.exit(main())
