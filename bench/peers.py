"""The peers: how each is started. None of them is needed; installed() says which are there."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import measure

CLOCKS = pathlib.Path(__file__).resolve().parent / "processor"
PYTHON = os.environ.get("PEER_PYTHON", "/usr/bin/python3")


def library_folder():
    if "PEER_LIB" in os.environ:
        return os.environ["PEER_LIB"]
    said = subprocess.run(["cc", "-print-multiarch"], capture_output=True, text=True).stdout.strip()
    return f"/usr/lib/{said or 'x86_64-linux-gnu'}"


class Peer:
    """A program that prints JSON lines as the peers' timing.py does. `label` is peer and variant."""

    def __init__(self, name, variant, words, environment=None, only=None, modes=("train",)):
        self.name, self.variant, self.words = name, variant, words
        self.label = f"{name} {variant}".strip()
        self.environment, self.only, self.modes = environment or {}, only, modes

    def can(self, model, mode):
        if mode == "infer" and model == "tiny1":
            return False
        return mode in self.modes and (not self.only or model in self.only)

    def measure(self, model, mode, given):
        environment = self.environment
        if given.processor:
            paths = [str(CLOCKS), *environment.get("PYTHONPATH", "").split(":")]
            environment = environment | {"PYTHONPATH": ":".join(p for p in paths if p)}
        lines, why = measure.run(self.words(model, mode, given), given, environment)
        if not lines:
            print(f"  {self.label} on {model} failed: {why}", flush=True)
            return []
        for line in lines:
            if mode == "cold":
                line["median_ms"] = line["min_ms"] = line["cold_s"] * 1e3
            line["variant"] = f"{self.variant} {line.get('variant', '')}".strip()
            line["peer"] = self.name
        return lines


# ---- PyTorch ----------------------------------------------------------------------------------

SMALL = ("tiny", "tiny1")
PICTURES = ("lenet", "resnet20")
# name → libraries, whether the AVX-512 kernels of its own are on, variant of its program, models
TRAINING = {
    "as-installed": ((), False, "eager", None),
    "openblas": (("openblas-openmp", "tcmalloc"), False, "eager", None),
    "blis": (("blis-openmp", "tcmalloc"), False, "eager", None),
    "blis+512": (("blis-openmp", "tcmalloc"), True, "eager", None),
    "blis+512+foreach": (("blis-openmp", "tcmalloc"), True, "eager+foreach", None),
    "blis+512+script": (("blis-openmp", "tcmalloc"), True, "script", SMALL),
    "blis+channels_last": (("blis-openmp", "tcmalloc"), False, "eager+cl", PICTURES),
    "openblas+channels_last": (("openblas-openmp", "tcmalloc"), False, "eager+cl", PICTURES),
}
INFERENCE = {
    "eager": ((), False, "eager", None),
    "openblas+jit": (("openblas-openmp", "tcmalloc"), False, "trace+freeze", None),
    "openblas+jit+opt": (("openblas-openmp", "tcmalloc"), False, "trace+opt", None),
    "blis+jit+opt": (("blis-openmp", "tcmalloc"), False, "trace+opt", None),
}


def torch_environment(libraries, wide):
    """None when one of the libraries is not there."""
    folder, environment = library_folder(), {}
    for library in libraries:
        if library == "tcmalloc":
            path = f"{folder}/libtcmalloc_minimal.so.4"
            environment["LD_PRELOAD"] = path
        else:
            path = environment["LD_LIBRARY_PATH"] = f"{folder}/{library}"
        if not os.path.exists(path):
            return None
    return environment | ({"ATEN_CPU_CAPABILITY": "avx512"} if wide else {})


class Torch(Peer):
    def losses(self, model, given):
        """Those of the first twenty steps; kept beside the work, as they are always the same."""
        sources = [pathlib.Path(given.peers) / name for name in ("suite.py", "torch/models.py", "torch/bench_torch.py")]
        key = hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()[:16]
        kept = given.work / model / f"torch-losses-{key}.json"
        if not kept.exists():
            words = self.words(model, "check", given)
            lines, why = measure.run(words, given, self.environment)
            if not lines:
                raise SystemExit(f"PyTorch's losses of {model}: {why}")
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(lines[0]["losses"]))
        return json.loads(kept.read_text())


def torch_peers(given):
    program = pathlib.Path(given.peers) / "torch/bench_torch.py"
    if subprocess.run([PYTHON, "-W", "ignore", "-c", "import torch, numpy"], capture_output=True).returncode:
        print(f"PyTorch is left out: {PYTHON} has no torch and numpy (set PEER_PYTHON)")
        return []

    def words_of(variant):
        return lambda model, mode, g: [PYTHON, "-W", "ignore", program, model, "--mode", "train" if mode == "cold" else mode,
                                       "--threads", g.threads, "--variant", variant, "--seconds",
                                       0.1 if mode == "cold" else g.seconds]

    found = []
    for table, modes in ((TRAINING, ("train", "cold")), (INFERENCE, ("infer",))):
        for name, (libraries, wide, variant, only) in table.items():
            environment = torch_environment(libraries, wide)
            if environment is None:
                print(f"PyTorch's variant `{name}` is left out: {' or '.join(libraries)} is not in {library_folder()}")
                continue
            cold = modes if name == "as-installed" or "cold" not in modes else ("train",)
            found.append(Torch("torch", name, words_of(variant), environment, only, cold))
    return found


# ---- the others -------------------------------------------------------------------------------


def hand_peers(given):
    """The suite's two smallest models by hand in C, with oneDNN's matrix product."""
    program = given.work / "hand"
    given.work.mkdir(parents=True, exist_ok=True)
    clock = ["-include", CLOCKS / "clock.h"] if given.processor else []
    built = subprocess.run(["cc", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-w", *clock, "-o", program,
                            pathlib.Path(given.peers) / "hand/hand.c", "-ldnnl", "-lm"], capture_output=True, text=True)
    if built.returncode:
        print("hand-written C is left out: it needs oneDNN (libdnnl-dev)")
        return []

    def words(model, mode, g):
        folder = g.work / "suite" / model
        if not folder.exists():
            subprocess.run([PYTHON, pathlib.Path(g.peers) / "suite.py", g.work / "suite"], check=True)
        return [program, model, folder, g.seconds]

    return [Peer("hand C", "", words, only=("mlp", "tiny", "tiny1"))]


def onnx_peers(given):
    if given.processor:
        print("ONNX Runtime is left out: its clock is that on the wall")
        return []
    modules, models = os.environ.get("PEER_NODE_MODULES"), os.environ.get("PEER_ONNX")
    if not modules or not models or not shutil.which("node"):
        print("ONNX Runtime is left out: set PEER_NODE_MODULES and PEER_ONNX")
        return []
    script = pathlib.Path(given.peers) / "ort/bench_ort.js"
    return [Peer("onnxruntime", "", lambda model, mode, g: ["node", script, f"{models}/{model}.onnx", model, "--threads",
                                                            g.threads, "--seconds", g.seconds],
                 {"NODE_PATH": modules}, modes=("infer",))]


def tinygrad_peers(given):
    checkout = os.environ.get("PEER_TINYGRAD")
    if not checkout:
        print("tinygrad is left out: set PEER_TINYGRAD")
        return []
    script = pathlib.Path(given.peers) / "tinygrad/bench_tinygrad.py"
    environment = {"PYTHONPATH": checkout, "DEV": "CPU:CLANG:x86_64,znver3", "CACHELEVEL": "0"}
    return [Peer("tinygrad", "", lambda model, mode, g: [PYTHON, script, model, "--mode", mode, "--threads", g.threads,
                                                         "--seconds", g.seconds],
                 environment, modes=("train", "infer"))]


def installed(given):
    return torch_peers(given) + hand_peers(given) + onnx_peers(given) + tinygrad_peers(given)
