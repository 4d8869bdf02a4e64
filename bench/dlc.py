"""dlc's side: compiles a model of the suite, links it into host.c, lays out the weights, and runs it."""
import pathlib
import re
import statistics
import subprocess

import measure

HERE = pathlib.Path(__file__).resolve().parent
# Where a name of the library differs from the suite's.
RENAMED = {"c1.k": "c1.w", "c2.k": "c2.w"}
COLD_RUNS = 5


def call(*words):
    said = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if said.returncode:
        raise SystemExit(f"{' '.join(str(w) for w in words)}\n{said.stderr}")


def rounded(value):
    """The nearest bf16 numbers, ties to even, as uint16."""
    import numpy
    bits = numpy.ascontiguousarray(value, numpy.float32).ravel().view(numpy.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(numpy.uint16)


class Dlc:
    name = "dlc"

    def __init__(self, model, given, bf16=False):
        self.model, self.given, self.bf16 = model, given, bf16
        self.label = "dlc bf16" if bf16 else "dlc"
        self.options = given.dlc_options.split() + (["--bf16"] if bf16 else [])
        self.folder = given.work / model
        self.built = {}

    def can(self, model, mode):
        return not (mode == "infer" and model == "tiny1")

    # ---- building ----

    def build(self, mode):
        """The program for training or for inference with one example, and the folder of its numbers."""
        if mode in self.built:
            return self.built[mode]
        threads = self.given.threads
        folder = self.folder / f"{mode}-{threads}{'-bf16' if self.bf16 else ''}"
        folder.mkdir(parents=True, exist_ok=True)
        words = [self.given.dlc, "compile", HERE / f"{self.model}.dl", "-o", folder / f"{self.model}.o"]
        words += ["--inference", "--batch", "1"] if mode == "infer" else []
        words += ["--threads", threads] if threads > 1 else []
        call(*words, *self.options)
        header = (folder / f"{self.model}.h").read_text()
        x, outputs = self.write_numbers(folder, header, mode)
        call("cc", "-O2", "-Wall", "-Wextra", f"-DMODEL={self.model}", f"-DSIZE={self.model.upper()}_",
             f'-DHEADER="{self.model}.h"', f"-DINPUT={'float' if x.dtype.kind == 'f' else 'int32_t'}",
             f"-DBATCHES={len(x)}", f"-DOUTPUTS={outputs}", *(["-DTRAINS"] if mode == "train" else []),
             *([f"-DTHREADS={threads}", "-fopenmp"] if threads > 1 else []),
             f"-I{folder}", "-o", folder / "program", HERE / "host.c", folder / f"{self.model}.o")
        self.built[mode] = folder
        return folder

    def write_numbers(self, folder, header, mode):
        import numpy
        suite, batch = self.given.suite, 1 if mode == "infer" else None
        x, y = suite.data(self.model, batch)
        x.tofile(folder / "x.bin")
        y.tofile(folder / "y.bin")
        size = int(re.search(r"_PARAMS (\d+)", header).group(1))
        params = numpy.zeros(size, numpy.float32)
        weights = suite.weights(self.model)
        places = re.findall(rf"#define {self.model.upper()}_AT_\w+ (\d+) /\* ([\w.]+)((?:\[\d+\])*)(, bf16)?", header)
        for at, name, dims, is_bf16 in places:
            value = weights.pop(RENAMED.get(name, name))
            count = int(numpy.prod([int(d) for d in re.findall(r"\d+", dims)], initial=1))
            if count != value.size:
                raise SystemExit(f"{self.model}: {name} has {count} elements, the suite's {value.size}")
            if is_bf16:
                params.view(numpy.uint16)[2 * int(at):2 * int(at) + count] = rounded(value)
            else:
                params[int(at):int(at) + count] = value.ravel()
        if weights:
            raise SystemExit(f"{self.model}: no place for {', '.join(weights)}")
        params.tofile(folder / "params.bin")
        return x, self.output_elements(header)

    def output_elements(self, header):
        """Of one example: the header's comment says `output  logits[n][10]`."""
        dims = re.search(r"output\s+logits\[n\]((?:\[\d+\])*)", header).group(1)
        elements = 1
        for d in re.findall(r"\d+", dims):
            elements *= int(d)
        return elements

    # ---- running ----

    def losses(self, steps):
        folder = self.build("train")
        lines, why = measure.run([folder / "program", "check", folder, steps], self.given)
        if not lines:
            raise SystemExit(f"{self.model}: {why}")
        return lines[0]["losses"]

    def measure(self, model, mode, given):
        if mode == "cold":
            return [self.cold()]
        folder = self.build(mode)
        lines, why = measure.run([folder / "program", mode, folder, given.seconds, *(["processor"] if given.processor else [])], given)
        if not lines:
            raise SystemExit(f"{model}: {why}")
        return [lines[0] | {"peer": self.label}]

    def cold(self):
        """From the start of `dlc train` to when it says that its first step is done; it is ended then."""
        import numpy
        suite, folder = self.given.suite, self.folder / "cold"
        folder.mkdir(parents=True, exist_ok=True)
        x, y = suite.data(self.model)
        numpy.save(folder / "x.npy", x.reshape(-1, *x.shape[2:]))
        numpy.save(folder / "y.npy", y.reshape(-1, *y.shape[2:]))
        words = [self.given.dlc, "train", *self.options, HERE / f"{self.model}.dl", "--data", folder, "--steps", 1, "--no-cache", "--json",
                 "--threads", self.given.threads]
        times, foreign = [], []
        for _ in range(COLD_RUNS):
            lines, seconds = measure.run(words, self.given, until='"event":"first"')
            if not lines:
                raise SystemExit(f"{self.model}: {seconds}")
            times.append(seconds * 1e3)
            foreign.append(lines[0]["foreign"])
        return {"peer": self.label, "median_ms": statistics.median(times), "min_ms": min(times),
                "foreign": statistics.mean(foreign)}
