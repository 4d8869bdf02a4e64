#!/usr/bin/env python3
"""Broken inputs: each must end with exit status 1 (or the one named) and its message, and never crash.

usage: run.py DLC CASES

A file of cases has sections, each a line

    === VERB | a part of the message | what is broken

followed by the text of the model. Lines `--- NAME` in a section begin a further file beside it; `--- NAME hex`
one whose content is given as hexadecimal bytes; `--- NAME gzip` one that is compressed. The verb may have options,
and `exit=N` among them changes the expected status.
"""
import gzip
import pathlib
import re
import subprocess
import sys
import tempfile


def sections(text):
    for part in re.split(r"^=== ", text, flags=re.M)[1:]:
        head, body = part.split("\n", 1)
        verb, message, title = (field.strip() for field in head.split("|", 2))
        files = {}
        name, lines = "model.dl", []
        for line in body.split("\n"):
            if line.startswith("--- "):
                files[name] = "\n".join(lines)
                name, lines = line[4:], []
            else:
                lines.append(line)
        files[name] = "\n".join(lines)
        yield verb, message, title, files


def write(folder, name, text):
    words = name.split()
    path = pathlib.Path(folder, words[0])
    kind = words[1] if len(words) > 1 else "text"
    data = bytes.fromhex("".join(text.split())) if kind in ("hex", "gzip-hex") else text.encode("utf-8", "surrogateescape")
    if kind.startswith("gzip"):
        data = gzip.compress(data)
    if kind == "truncated-gzip":
        data = gzip.compress(text.encode() * 50)[:40]
    path.write_bytes(data)


def run(dlc, verb, message, title, files):
    words = verb.split()
    status = 1
    for word in [w for w in words if w.startswith("exit=")]:
        status = int(word[5:])
        words.remove(word)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            write(folder, name, text)
        command = [dlc, words[0], "model.dl", *words[1:]]
        try:
            done = subprocess.run(command, capture_output=True, cwd=folder, timeout=60)
        except subprocess.TimeoutExpired:
            return "ran for more than a minute"
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    if done.returncode != status:
        return f"exit status {done.returncode}, not {status}: {said}"
    if message not in said:
        return f"does not say `{message}` but: {said}"
    if "mistake in the compiler" in said or "Sanitizer" in said or "runtime error" in said:
        return f"a mistake of ours: {said}"
    return None


def main():
    dlc, cases = sys.argv[1:3]
    failed = total = 0
    for verb, message, title, files in sections(pathlib.Path(cases).read_text(errors="surrogateescape")):
        total += 1
        wrong = run(dlc, verb, message, title, files)
        if wrong:
            failed += 1
            print(f"{title}: {wrong}")
    print(f"{total - failed} of {total} broken inputs get their message")
    return failed != 0 or total == 0


sys.exit(main())
