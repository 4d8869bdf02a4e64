#!/usr/bin/env python3
"""Machine code is kept from run to run, changes nothing, and is believed only when it is whole and the user's own.

usage: cache.py DLC MODEL.dl FOLDER
"""
import os
import pathlib
import shutil
import subprocess
import sys


def train(dlc, model, cache, weights, *options):
    environment = dict(os.environ, XDG_CACHE_HOME=str(cache))
    done = subprocess.run([dlc, "train", model, "--epochs", "3", "--save", str(weights), *options],
                          env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"exit status {done.returncode}: {done.stderr}")
    return weights.read_bytes()


def main():
    dlc, model, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cache, weights = folder / "cache", folder / "w.safetensors"
    kept = cache / "dlc"

    wanted = train(dlc, model, cache, weights, "--no-cache")
    assert not cache.exists(), "--no-cache keeps something"
    assert train(dlc, model, cache, weights) == wanted
    files = {path: path.read_bytes() for path in kept.iterdir()}
    assert len(files) >= 3 and all(path.suffix == ".objects" for path in files), files.keys()
    assert kept.stat().st_mode & 0o077 == 0, "others can look into the cache"
    inodes = {path: path.stat().st_ino for path in files}

    assert train(dlc, model, cache, weights) == wanted
    assert {path: path.stat().st_ino for path in kept.iterdir()} == inodes, "code was made again"

    # Passes are verified when they run: so they do.
    shutil.rmtree(cache)
    assert train(dlc, model, cache, weights, "--verify-each") == wanted
    assert not cache.exists(), "--verify-each keeps something"
    assert train(dlc, model, cache, weights) == wanted

    # Another model, another processor, other passes: other keys.
    train(dlc, model, cache, weights, "--batch", "7")
    assert len(list(kept.iterdir())) > len(files)

    # Damage: cut off, a byte changed in the head, the key, the code; nothing at all.
    for damage in (lambda b: b[:len(b) // 2], lambda b: b[:20], lambda b: b"",
                   lambda b: bytes([b[0] ^ 1]) + b[1:],
                   lambda b: b[:60] + bytes([b[60] ^ 1]) + b[61:],
                   lambda b: b[:-40] + bytes([b[-40] ^ 16]) + b[-39:], lambda b: b + b"more"):
        for path, data in files.items():
            path.write_bytes(damage(data))
        assert train(dlc, model, cache, weights) == wanted
        assert {path: path.read_bytes() for path in files} == files, "damage was not mended"

    # What others can write is not run, and nothing is put there.
    for path, data in files.items():
        path.unlink()
    kept.chmod(0o777)
    assert train(dlc, model, cache, weights) == wanted
    assert not any(path.exists() for path in files)

    # A folder that cannot be made is none.
    blocked = folder / "file"
    blocked.write_text("")
    assert train(dlc, model, blocked, weights) == wanted


main()
