"""Two JSON objects whose numbers agree to five digits."""
import json
import math
import sys


def compare(a, b, path=""):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        return sum(compare(a[key], b[key], f"{path}.{key}") for key in a)
    if isinstance(a, float):
        assert math.isclose(a, b, rel_tol=1e-5), f"{path}: {a} and {b}"
        return 1
    return 0


first, second = (json.load(open(name)) for name in sys.argv[1:3])
assert compare(first, second) >= 4
