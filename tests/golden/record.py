#!/usr/bin/env python3
"""Writes Inputs/library.dl and Inputs/library.numbers: models of one library entry each, and what PyTorch says about them.

Needs PyTorch (Debian: python3-torch), in double precision; the tests need only what it wrote. Every model has the batch 2.
For each there are inputs, targets, parameters and states, then the outputs outside of training, the loss in training, and what
one training step leaves: with the optimizer `w = g` that is the gradient of each parameter. Inputs of real numbers have a
parameter added, `d_x`, so that the gradient that goes through the layer is compared, too.
"""
import math
import pathlib

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)
HERE = pathlib.Path(__file__).resolve().parent / "Inputs"
N = 2
models, numbers, names = [], [], set()


class Params(dict):
    """Parameters by their names in dlc: P.k is the only one whose name ends in `.k`."""

    def __getattr__(self, name):
        found = [value for key, value in self.items() if key.split(".")[-1] == name]
        assert len(found) == 1, (name, list(self))
        return found[0]


def dims(shape):
    return f"[{', '.join(map(str, shape))}]" if shape else ""


def put(kind, name, tensor):
    values = tensor.detach().reshape(-1).tolist()
    text = " ".join(f"{v:.7g}" for v in values)
    numbers.append(f"{kind} {name} {len(values)} {text}")


def rounded(tensor):
    """What a reader of the numbers gets: exactly representable in single precision and in the text."""
    return torch.tensor([float(f"{float(v):.3f}") for v in tensor.reshape(-1)]).reshape(tensor.shape)


def draw(shape, scale=1.0):
    return rounded(torch.randn(shape) * scale)


def record(name, inputs, targets, lines, loss, params, run, optimizer="gradient", steps=1, states=None, scale=0.5):
    """run(inputs, params, states, train) → (outputs, loss, new states). An input is a shape, or (shape, classes)."""
    assert name not in names, name
    names.add(name)
    decls, given = [], {}
    shifts = {f"d_{key}": shape for key, shape in inputs.items() if not isinstance(shape, tuple) and optimizer == "gradient"}
    for word, ports in (("input ", inputs), ("target", targets)):
        for key, shape in ports.items():
            if isinstance(shape, tuple):
                shape, classes = shape
                given[key] = torch.randint(classes, (N, *shape))
                decls.append(f"{word} {key}{dims(shape)}: class({classes})")
            else:
                given[key] = draw((N, *shape))
                decls.append(f"{word} {key}{dims(shape)}")
    for key, shape in shifts.items():
        decls += [f"param  {key}{dims(shape)} ~ zeros, decay: false", f"{key[2:]}_ = {key[2:]} + {key}"]
    models.append(f"model {name} {{\n" + "\n".join(f"    {line}" for line in decls + lines) +
                  f"\n    loss      {loss}\n    optimizer {optimizer}\n}}\n")
    values = Params({key: draw(shape, scale).requires_grad_() for key, shape in params.items()})
    for key, shape in shifts.items():
        values[key] = draw(shape, 0.3).requires_grad_()
    kept = {key: rounded(torch.rand(shape) + 0.5) for key, shape in (states or {}).items()}
    numbers.append(f"case {name} {steps}")
    for key, tensor in given.items():
        put("input", key, tensor)
    for key, tensor in values.items():
        put("param", key, tensor)
    for key, tensor in kept.items():
        put("state", key, tensor)

    def go(train):
        shifted = {key: tensor + values[f"d_{key}"] if f"d_{key}" in values else tensor for key, tensor in given.items()}
        return run(shifted, values, kept, train)

    with torch.no_grad():
        for key, tensor in go(False)[0].items():
            put("output", key, tensor)
    return values, go


def finish_gradient(values, go):
    _, loss, after = go(True)
    loss.backward()
    put("loss", "loss", loss)
    for key, tensor in values.items():
        assert tensor.grad is not None, key
        put("after", key, tensor.grad)
    for key, tensor in (after or {}).items():
        put("after", key, tensor)
    numbers.append("end")


def plain(name, shape, call, target, params, f, **more):
    """One layer from x to p, with the squared error."""
    def run(given, values, kept, train):
        p = f(given["x"], values)
        return {"p": p}, F.mse_loss(p, given["y"]), None
    finish_gradient(*record(name, {"x": shape}, {"y": target}, [f"output p = x_ -> {call}"], "mse(p, y)", params, run, **more))


def several(name, inputs, lines, target, params, f, **more):
    """Some inputs to p, with the squared error."""
    def run(given, values, kept, train):
        p = f(given, values)
        return {"p": p}, F.mse_loss(p, given["y"]), None
    finish_gradient(*record(name, inputs, {"y": target}, lines, "mse(p, y)", params, run, **more))


# ---- activations and simple layers ----

def linear(name, units, width):
    return {f"{name}.w": [units, width], f"{name}.b": [units]}


plain("dense", [3, 4], "dense(5)", [3, 5], linear("dense1", 5, 4), lambda x, P: F.linear(x, P.w, P.b))
plain("dropout_outside_training", [5], "dropout(0)", [5], {}, lambda x, P: F.dropout(x, 0.5, False))
for call, f in {
        "relu": F.relu, "leaky_relu": F.leaky_relu, "elu": F.elu, "selu": F.selu, "gelu": F.gelu, "silu": F.silu,
        "sigmoid": torch.sigmoid, "softplus": F.softplus, "tanh": torch.tanh,
        "softmax": lambda x: F.softmax(x, -1), "log_softmax": lambda x: F.log_softmax(x, -1)}.items():
    plain(call, [3, 5], call, [3, 5], {}, lambda x, P, f=f: f(x))


# ---- images ----

def kernel(name, *shape, out=None):
    return {f"{name}.k": list(shape), f"{name}.b": [out or shape[0]]}


def same(length, reach, stride):
    """Places in front and behind, as TensorFlow's "SAME"."""
    total = max((-(-length // stride) - 1) * stride + reach - length, 0)
    return total // 2, total - total // 2


plain("conv1d", [3, 9], "conv1d(4, 3, stride: 2, pad: 2, dilation: 2)", [4, 5], kernel("conv1d1", 4, 3, 3),
      lambda x, P: F.conv1d(x, P.k, P.b, stride=2, padding=2, dilation=2))
plain("conv1d_groups_same", [4, 9], 'conv1d(6, 4, stride: 3, pad: "same", groups: 2)', [6, 3], kernel("conv1d1", 6, 2, 4),
      lambda x, P: F.conv1d(F.pad(x, same(9, 4, 3)), P.k, P.b, stride=3, groups=2))
conv2d = [
    ("conv2d", "3", (3, 3), {}, [4, 4]),
    ("conv2d_pad", "3, pad: 1", (3, 3), dict(padding=1), [6, 6]),
    ("conv2d_stride", "3, stride: 2", (3, 3), dict(stride=2), [2, 2]),
    ("conv2d_stride_pad", "3, stride: 2, pad: 1", (3, 3), dict(stride=2, padding=1), [3, 3]),
    ("conv2d_stride_3", "2, stride: 3", (2, 2), dict(stride=3), [2, 2]),
    ("conv2d_dilation", "3, dilation: 2, pad: 2", (3, 3), dict(dilation=2, padding=2), [6, 6]),
    ("conv2d_stride_dilation", "3, stride: 2, dilation: 2, pad: 1", (3, 3), dict(stride=2, dilation=2, padding=1), [2, 2]),
    ("conv2d_same", '4, pad: "same"', (4, 4), dict(padding="same"), [6, 6]),
    ("conv2d_width", '1, width: 3, pad: "same"', (1, 3), dict(padding="same"), [6, 6]),
]
for name, call, size, options, out in conv2d:
    plain(name, [2, 6, 6], f"conv2d(3, {call})", [3, *out], kernel("conv2d1", 3, 2, *size),
          lambda x, P, options=options: F.conv2d(x, P.k, P.b, **options))
plain("conv2d_stride_same", [2, 7, 6], 'conv2d(3, 5, stride: 3, pad: "same")', [3, 3, 2], kernel("conv2d1", 3, 2, 5, 5),
      lambda x, P: F.conv2d(F.pad(x, (*same(6, 5, 3), *same(7, 5, 3))), P.k, P.b, stride=3))
plain("conv2d_groups", [4, 5, 4], "conv2d(6, 3, groups: 2, pad: 1)", [6, 5, 4], kernel("conv2d1", 6, 2, 3, 3),
      lambda x, P: F.conv2d(x, P.k, P.b, padding=1, groups=2))
several("correlate1d", {"x": [3, 9], "k": [4, 3, 2]}, ["k1[f, c, u] = mean[batch] k_[f, c, u]",
                                                    "output p = correlate1d(x_, k1, stride: 2)"], [4, 4], {},
        lambda I, P: F.conv1d(I["x"], I["k"].mean(0), stride=2))
several("correlate1d_grouped", {"x": [4, 7], "k": [6, 2, 3]}, ["k1[f, c, u] = mean[batch] k_[f, c, u]",
                                                            "output p = correlate1d_grouped(x_, k1, pad: 1)"], [6, 7], {},
        lambda I, P: F.conv1d(I["x"], I["k"].mean(0), padding=1, groups=2))
several("correlate2d", {"x": [2, 5, 6], "k": [3, 2, 3, 2]}, ["k1[f, c, u, v] = mean[batch] k_[f, c, u, v]",
                                                           "output p = correlate2d(x_, k1, pad: 1)"], [3, 5, 7], {},
        lambda I, P: F.conv2d(I["x"], I["k"].mean(0), padding=1))
several("correlate2d_grouped", {"x": [4, 5, 5], "k": [4, 2, 3, 3]}, ["k1[f, c, u, v] = mean[batch] k_[f, c, u, v]",
                                                                   "output p = correlate2d_grouped(x_, k1, stride: 2)"], [4, 2, 2], {},
        lambda I, P: F.conv2d(I["x"], I["k"].mean(0), stride=2, groups=2))
plain("depthwise_conv2d", [3, 5, 4], "depthwise_conv2d(3, multiplier: 2, stride: 2, pad: 1)", [6, 3, 2],
      kernel("depthwise_conv2d1.conv2d1", 6, 1, 3, 3), lambda x, P: F.conv2d(x, P.k, P.b, padding=1, stride=2, groups=3))
plain("conv_transpose2d", [3, 4, 5], "conv_transpose2d(2, 3)", [2, 6, 7], kernel("conv_transpose2d1", 3, 2, 3, 3, out=2),
      lambda x, P: F.conv_transpose2d(x, P.k, P.b))
plain("conv_transpose2d_stride", [3, 4, 3], "conv_transpose2d(2, 4, stride: 2, pad: 1)", [2, 8, 6],
      kernel("conv_transpose2d1", 3, 2, 4, 4, out=2), lambda x, P: F.conv_transpose2d(x, P.k, P.b, stride=2, padding=1))
plain("conv_transpose2d_extra", [3, 3, 4], "conv_transpose2d(2, 3, stride: 2, pad: 1, extra: 1)", [2, 6, 8],
      kernel("conv_transpose2d1", 3, 2, 3, 3, out=2), lambda x, P: F.conv_transpose2d(x, P.k, P.b, 2, 1, 1))
plain("max_pool", [2, 6, 7], "max_pool(2)", [2, 3, 3], {}, lambda x, P: F.max_pool2d(x, 2))
plain("max_pool_overlapping", [2, 6, 7], "max_pool(3, stride: 2, pad: 1)", [2, 3, 4], {}, lambda x, P: F.max_pool2d(x, 3, 2, 1))
plain("avg_pool", [2, 6, 7], "avg_pool(2)", [2, 3, 3], {}, lambda x, P: F.avg_pool2d(x, 2))
plain("avg_pool_overlapping", [2, 6, 7], "avg_pool(3, stride: 2, pad: 1)", [2, 3, 4], {},
      lambda x, P: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False))
plain("max_pool1d", [3, 8], "max_pool1d(3, stride: 2, pad: 1)", [3, 4], {}, lambda x, P: F.max_pool1d(x, 3, 2, 1))
plain("avg_pool1d", [3, 8], "avg_pool1d(3, stride: 2, pad: 1)", [3, 4], {},
      lambda x, P: F.avg_pool1d(x, 3, 2, 1, count_include_pad=False))
plain("global_avg_pool", [3, 4, 5], "global_avg_pool", [3], {}, lambda x, P: F.adaptive_avg_pool2d(x, 1).flatten(1))
plain("global_max_pool", [3, 4, 5], "global_max_pool", [3], {}, lambda x, P: F.adaptive_max_pool2d(x, 1).flatten(1))
plain("upsample_nearest", [2, 3, 4], "upsample_nearest(2)", [2, 6, 8], {}, lambda x, P: F.interpolate(x, scale_factor=2))
for s in (2, 3):
    plain(f"upsample_bilinear_{s}", [2, 3, 4], f"upsample_bilinear({s})", [2, 3 * s, 4 * s], {},
          lambda x, P, s=s: F.interpolate(x, scale_factor=s, mode="bilinear", align_corners=False))
plain("windows", [3, 8], "window_sum(3, 2, 1)", [3, 4], {}, lambda x, P: 3 * F.avg_pool1d(x, 3, 2, 1))
plain("pad2d", [2, 3, 4], "pad2d(2, value: 0.5)", [2, 7, 8], {}, lambda x, P: F.pad(x, (2, 2, 2, 2), value=0.5))


# ---- normalisation ----

def batch_norm(name, shape):
    channels = shape[0]
    axes = [0, *range(2, len(shape) + 1)]

    def run(given, P, kept, train):
        x = given["x"]
        p = F.batch_norm(x, kept["batch_norm1.m"].clone(), kept["batch_norm1.v"].clone(), P["batch_norm1.g"], P["batch_norm1.b"], train)
        after = {"batch_norm1.m": 0.9 * kept["batch_norm1.m"] + 0.1 * x.mean(axes),
                 "batch_norm1.v": 0.9 * kept["batch_norm1.v"] + 0.1 * x.var(axes, unbiased=False)}
        return {"p": p}, F.mse_loss(p, given["y"]), after
    finish_gradient(*record(name, {"x": shape}, {"y": shape}, ["output p = x_ -> batch_norm"], "mse(p, y)",
                            {"batch_norm1.g": [channels], "batch_norm1.b": [channels]}, run,
                            states={"batch_norm1.m": [channels], "batch_norm1.v": [channels]}))


batch_norm("batch_norm", [3, 4, 2])
plain("layer_norm", [3, 6], "layer_norm", [3, 6], {"layer_norm1.g": [6], "layer_norm1.b": [6]},
      lambda x, P: F.layer_norm(x, [6], P.g, P.b))
plain("group_norm", [6, 4, 2], "group_norm(2)", [6, 4, 2], {"group_norm1.g": [6], "group_norm1.b": [6]},
      lambda x, P: F.group_norm(x, 2, P.g, P.b))
plain("rms_norm", [3, 6], "rms_norm", [3, 6], {"rms_norm1.g": [6]},
      lambda x, P: P.g * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

# ---- shapes ----

several("concat", {"x": [3, 4], "v": [2, 4]}, ["output p = concat(x_, v_)"], [5, 4], {}, lambda I, P: torch.cat([I["x"], I["v"]], 1))
several("concat_last", {"x": [3, 4], "v": [3, 2]}, ["output p = concat_last(x_, v_)"], [3, 6], {},
        lambda I, P: torch.cat([I["x"], I["v"]], 2))
plain("slice", [6, 3], "slice(1, 4)", [3, 3], {}, lambda x, P: x[:, 1:4])
plain("slice_last", [3, 6], "slice_last(2)", [3, 4], {}, lambda x, P: x[:, :, 2:])
plain("every", [7, 2], "every(3)", [3, 2], {}, lambda x, P: x[:, ::3])
plain("rows_of", [6, 2], "rows_of(3)", [2, 3, 2], {}, lambda x, P: x.unflatten(1, (2, 3)))
plain("reshape", [4, 6], "reshape(2, 3, 4)", [2, 3, 4], {}, lambda x, P: x.reshape(N, 2, 3, 4))
plain("unflatten", [24], "unflatten(2, 3, 2, 2)", [2, 3, 2, 2], {}, lambda x, P: x.reshape(N, 2, 3, 2, 2))
plain("flatten", [2, 3, 2], "flatten", [12], {}, lambda x, P: x.flatten(1))
plain("join", [2, 3, 2], "join", [6, 2], {}, lambda x, P: x.flatten(1, 2))
plain("transpose", [2, 3, 4], "transpose", [2, 4, 3], {}, lambda x, P: x.transpose(2, 3))
plain("first_to_last", [2, 3, 4], "first_to_last", [3, 4, 2], {}, lambda x, P: x.permute(0, 2, 3, 1))
plain("last_to_first", [2, 3, 4], "last_to_first", [4, 2, 3], {}, lambda x, P: x.permute(0, 3, 1, 2))
plain("pad", [3, 2], "pad(2, 1, value: 0.25)", [6, 2], {}, lambda x, P: F.pad(x, (0, 0, 2, 1), value=0.25))
plain("reverse", [4, 3], "reverse", [4, 3], {}, lambda x, P: x.flip(1))

# ---- sequences ----

several("embedding", {"t": ([5], 7)}, ["output p = t -> embedding(3)"], [5, 3], {"embedding1.w": [7, 3]},
        lambda I, P: F.embedding(I["t"], P.w))


def recurrent(f, width, units, P, path, gates, x, second=False):
    """torch's function with the weights of the layer at `path`."""
    pick = lambda name: P[f"{path}.{name}"].reshape([gates * units, -1])
    weights = [pick("wx"), pick("wh"), pick("b").reshape(-1), pick("c").reshape(-1) if second else torch.zeros(gates * units)]
    zeros = torch.zeros(1, N, units)
    return f(x, [zeros, zeros] if f is torch.lstm else zeros, weights, True, 1, 0.0, False, False, True)[0]


def rnn_params(path, units, width):
    return {f"{path}.wx": [units, width], f"{path}.wh": [units, units], f"{path}.b": [units]}


def gated_params(path, gates, units, width):
    more = {f"{path}.c": [gates, units]} if gates == 3 else {}
    return {f"{path}.wx": [gates, units, width], f"{path}.wh": [gates, units, units], f"{path}.b": [gates, units], **more}


def rnn(x, P, path, width, units):
    return recurrent(torch.rnn_tanh, width, units, P, path, 1, x)


def lstm(x, P, path, width, units):
    return recurrent(torch.lstm, width, units, P, path, 4, x)


def gru(x, P, path, width, units):
    return recurrent(torch.gru, width, units, P, path, 3, x, True)


plain("rnn", [5, 3], "rnn(4)", [5, 4], rnn_params("rnn1", 4, 3), lambda x, P: rnn(x, P, "rnn1", 3, 4))
plain("lstm", [5, 3], "lstm(4)", [5, 4], gated_params("lstm1", 4, 4, 3), lambda x, P: lstm(x, P, "lstm1", 3, 4))
plain("gru", [5, 3], "gru(4)", [5, 4], gated_params("gru1", 3, 4, 3), lambda x, P: gru(x, P, "gru1", 3, 4))
plain("stacked_lstm_last_step", [5, 3], "lstm(4) -> lstm(2) -> last_step", [2],
      {**gated_params("lstm1", 4, 4, 3), **gated_params("lstm2", 4, 2, 4)},
      lambda x, P: lstm(lstm(x, P, "lstm1", 3, 4), P, "lstm2", 4, 2)[:, -1])
plain("bidirectional", [5, 3], "bidirectional(gru(4), gru(2))", [5, 6],
      {**gated_params("gru1", 3, 4, 3), **gated_params("gru2", 3, 2, 3)},
      lambda x, P: torch.cat([gru(x, P, "gru1", 3, 4), gru(x.flip(1), P, "gru2", 3, 2).flip(1)], 2))
LENGTH = {"x": [5, 3], "n": ([], 6)}
inside = lambda I: (torch.arange(5) < I["n"][:, None])[..., None]
several("last_step_of", LENGTH, ["output p = last_step_of(x_, n)"], [3], {},
        lambda I, P: torch.stack([x[n - 1] if n else x[0] * 0 for x, n in zip(I["x"], I["n"])]))
several("mask_after", LENGTH, ["output p = mask_after(x_, n)"], [5, 3], {}, lambda I, P: I["x"] * inside(I))
several("mean_first", LENGTH, ["output p = mean_first(x_, n)"], [3], {},
        lambda I, P: (I["x"] * inside(I)).sum(1) / I["n"].clamp(min=1)[:, None])
several("reverse_first", LENGTH, ["output p = reverse_first(x_, n)"], [5, 3], {},
        lambda I, P: torch.stack([torch.cat([x[:n].flip(0), 0 * x[n:]]) for x, n in zip(I["x"], I["n"])]))


def sinusoidal(x, P):
    time, width = x.shape[1:]
    table = torch.zeros(time, width)
    angle = torch.arange(time)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table[:, 0::2], table[:, 1::2] = torch.sin(angle), torch.cos(angle)
    return x + table


def rotary(x):
    """By complex numbers, on the last two dimensions."""
    time, width = x.shape[-2:]
    angle = torch.arange(time)[:, None] / 10000.0 ** (torch.arange(width // 2) * 2 / width)
    turned = torch.complex(x[..., :width // 2], x[..., width // 2:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], -1)


plain("sinusoidal_positions", [5, 6], "sinusoidal_positions", [5, 6], {}, sinusoidal)
plain("learned_positions", [5, 4], "learned_positions", [5, 4], {"learned_positions1.p": [5, 4]}, lambda x, P: x + P.p)
plain("rotary_positions", [2, 5, 6], "rotary_positions", [2, 5, 6], {}, lambda x, P: rotary(x))

# ---- attention ----

def heads_params(path, heads, width, memory=None):
    size = [heads, width // heads]
    return {f"{path}.to_heads1.w": [*size, width], f"{path}.to_heads2.w": [*size, memory or width],
            f"{path}.to_heads3.w": [*size, memory or width], f"{path}.from_heads1.w": [width, *size]}


def multi_head(q, kv, P, path, heads, mask=None, padding=None):
    width = q.shape[-1]
    w = [P[f"{path}.to_heads{i}.w"].reshape(width, -1) for i in (1, 2, 3)]
    back = lambda x: x.transpose(0, 1)
    out, _ = F.multi_head_attention_forward(
        back(q), back(kv), back(kv), width, heads, None, None, None, None, False, 0.0,
        P[f"{path}.from_heads1.w"].reshape(width, width), None, attn_mask=mask, key_padding_mask=padding, need_weights=False,
        use_separate_proj_weight=True, q_proj_weight=w[0], k_proj_weight=w[1], v_proj_weight=w[2])
    return back(out)


def first(I):
    assert min(I["n"]) > 0  # PyTorch's softmax over nothing is NaN
    return torch.arange(5) >= I["n"][:, None]


def later(time):
    return torch.triu(torch.ones(time, time, dtype=torch.bool), 1)


QKV = {"q": [2, 3, 4], "k": [2, 5, 4], "v": [2, 5, 3]}
several("attend", QKV, ["output p = attend(q_, k_, v_)"], [2, 3, 3], {},
        lambda I, P: F.softmax(I["q"] @ I["k"].transpose(-1, -2) / 2, -1) @ I["v"])
several("attend_masked", QKV, ["keep[t < 3, u < 5] = if u > t + 1 then 0 else 1", "output p = attend_masked(q_, k_, v_, keep)"],
        [2, 3, 3], {}, lambda I, P: F.softmax((I["q"] @ I["k"].transpose(-1, -2) / 2).masked_fill(
            torch.arange(5) > torch.arange(3)[:, None] + 1, -math.inf), -1) @ I["v"])
plain("to_heads", [3, 4], "to_heads(2, 3)", [2, 3, 3], {"to_heads1.w": [2, 3, 4]},
      lambda x, P: F.linear(x, P.w.flatten(0, 1)).reshape(N, 3, 2, 3).transpose(1, 2))
plain("from_heads", [2, 3, 4], "from_heads(5)", [3, 5], {"from_heads1.w": [5, 2, 4]},
      lambda x, P: F.linear(x.transpose(1, 2).flatten(2), P.w.flatten(1)))
plain("attention", [4, 6], "attention(2)", [4, 6], heads_params("attention1", 2, 6),
      lambda x, P: multi_head(x, x, P, "attention1", 2, later(4)))
plain("attention_both_ways", [4, 6], "attention(3, causal: false)", [4, 6], heads_params("attention1", 3, 6),
      lambda x, P: multi_head(x, x, P, "attention1", 3))


def rotary_attention(x, P):
    q, k, v = (torch.einsum("ntd,hed->nhte", x, P[f"attention1.to_heads{i}.w"]) for i in (1, 2, 3))
    scores = (rotary(q) @ rotary(k).transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(later(x.shape[1]), -math.inf)
    return torch.einsum("nhte,dhe->ntd", F.softmax(scores, -1) @ v, P["attention1.from_heads1.w"])


plain("attention_rotary", [4, 8], "attention(2, rotary: true)", [4, 8], heads_params("attention1", 2, 8), rotary_attention)
several("masked_attention", {"x": [5, 4], "n": ([], 6)}, ["output p = masked_attention(x_, keep_first(x_, n), 2)"], [5, 4],
        heads_params("masked_attention1", 2, 4), lambda I, P: multi_head(I["x"], I["x"], P, "masked_attention1", 2, padding=first(I)))
several("cross_attention", {"x": [3, 4], "m": [5, 6]}, ["output p = cross_attention(x_, m_, 2)"], [3, 4],
        heads_params("cross_attention1", 2, 4, 6), lambda I, P: multi_head(I["x"], I["m"], P, "cross_attention1", 2))


def norm_params(path, width):
    return {f"{path}.g": [width], f"{path}.b": [width]}


def block_params(path, heads, width, hidden):
    return {**norm_params(f"{path}.layer_norm1", width), **heads_params(f"{path}.attention1", heads, width),
            **norm_params(f"{path}.layer_norm2", width), **linear(f"{path}.dense1", hidden, width),
            **linear(f"{path}.dense2", width, hidden)}


def encoder_state(P, path, width):
    w = torch.cat([P[f"{path}.attention1.to_heads{i}.w"].reshape(width, width) for i in (1, 2, 3)])
    return {"self_attn.in_proj_weight": w, "self_attn.in_proj_bias": torch.zeros(3 * width),
            "self_attn.out_proj.weight": P[f"{path}.attention1.from_heads1.w"].reshape(width, width),
            "self_attn.out_proj.bias": torch.zeros(width)}


def encoder_block(x, P):
    module = nn.TransformerEncoderLayer(6, 2, 5, 0.0, "gelu", batch_first=True, norm_first=True)
    at = "encoder_block1"
    state = {**encoder_state(P, at, 6), "linear1.weight": P[f"{at}.dense1.w"], "linear1.bias": P[f"{at}.dense1.b"],
             "linear2.weight": P[f"{at}.dense2.w"], "linear2.bias": P[f"{at}.dense2.b"]}
    for i in (1, 2):
        state |= {f"norm{i}.weight": P[f"{at}.layer_norm{i}.g"], f"norm{i}.bias": P[f"{at}.layer_norm{i}.b"]}
    return torch.nn.utils.stateless.functional_call(module, state, (x,))


plain("encoder_block", [4, 6], "encoder_block(2, hidden: 5)", [4, 6], block_params("encoder_block1", 2, 6, 5), encoder_block)


def decoder_block(I, P):
    module = nn.TransformerDecoderLayer(4, 2, 5, 0.0, "gelu", batch_first=True, norm_first=True)
    at = "decoder_block1"
    w = torch.cat([P[f"{at}.cross_attention1.to_heads{i}.w"].reshape(4, 4) for i in (1, 2, 3)])
    state = {**encoder_state(P, at, 4), "multihead_attn.in_proj_weight": w, "multihead_attn.in_proj_bias": torch.zeros(12),
             "multihead_attn.out_proj.weight": P[f"{at}.cross_attention1.from_heads1.w"].reshape(4, 4),
             "multihead_attn.out_proj.bias": torch.zeros(4),
             "linear1.weight": P[f"{at}.dense1.w"], "linear1.bias": P[f"{at}.dense1.b"],
             "linear2.weight": P[f"{at}.dense2.w"], "linear2.bias": P[f"{at}.dense2.b"]}
    for i in (1, 2, 3):
        state |= {f"norm{i}.weight": P[f"{at}.layer_norm{i}.g"], f"norm{i}.bias": P[f"{at}.layer_norm{i}.b"]}
    return torch.nn.utils.stateless.functional_call(module, state, (I["x"], I["m"]), {"tgt_mask": later(3)})


several("decoder_block", {"x": [3, 4], "m": [5, 4]}, ["output p = decoder_block(x_, m_, 2, hidden: 5)"], [3, 4],
        {**block_params("decoder_block1", 2, 4, 5), **norm_params("decoder_block1.layer_norm3", 4),
         **heads_params("decoder_block1.cross_attention1", 2, 4)}, decoder_block)

# ---- losses ----

def loss(name, call, targets, f, inputs=None, lines=()):
    def run(given, values, kept, train):
        return {"p": given["x"]}, f(given, values), None
    finish_gradient(*record(name, inputs or {"x": [4, 3]}, targets, [*lines, "output p = x_ + 0"], call, {}, run))


CLASSES = {"y": ([4], 3)}
logits = lambda I: I["x"].reshape(-1, 3)
loss("mse", "mse(p, y)", {"y": [4, 3]}, lambda I, P: F.mse_loss(I["x"], I["y"]))
loss("mae", "mae(p, y)", {"y": [4, 3]}, lambda I, P: F.l1_loss(I["x"], I["y"]))
loss("huber", "huber(p, y, delta: 0.7)", {"y": [4, 3]}, lambda I, P: F.huber_loss(I["x"], I["y"], delta=0.7))
loss("binary_cross_entropy", "binary_cross_entropy(p, y)", {"y": ([4, 3], 2)},
     lambda I, P: F.binary_cross_entropy_with_logits(I["x"], I["y"].double()))
loss("cross_entropy", "cross_entropy(p, y)", CLASSES, lambda I, P: F.cross_entropy(logits(I), I["y"].reshape(-1)))
loss("smoothing", "cross_entropy(p, y, smoothing: 0.1)", CLASSES,
     lambda I, P: F.cross_entropy(logits(I), I["y"].reshape(-1), label_smoothing=0.1))
loss("weighted_cross_entropy", "weighted_cross_entropy(p, y, w)", CLASSES,
     lambda I, P: F.cross_entropy(logits(I), I["y"].reshape(-1), torch.tensor([1.0, 0.5, 0.25]), reduction="none").mean(),
     lines=["w[k < 3] = 1 / 2^k"])
loss("cross_entropy_first", "cross_entropy_first(p, y, n)", CLASSES,
     lambda I, P: torch.stack([F.cross_entropy(x[:n], y[:n]) if n else x.sum() * 0 for x, y, n in zip(I["x"], I["y"], I["n"])]).mean(),
     inputs={"x": [4, 3], "n": ([], 5)})
loss("kl_normal", "kl_normal(p, v_) + 0 * mse(p, y)", {"y": [4, 3]},
     lambda I, P: torch.distributions.kl_divergence(
         torch.distributions.Normal(I["x"], torch.exp(I["v"] / 2)), torch.distributions.Normal(0.0, 1.0)).sum() / N,
     inputs={"x": [4, 3], "v": [4, 3]})


def penalties(given, P, kept, train):
    p = F.linear(given["x"], P.w, P.b)
    return {"p": p}, F.mse_loss(p, given["y"]) + 0.1 * P.w.abs().sum() + 0.2 * P.w.pow(2).sum(), None


finish_gradient(*record("l1_and_l2", {"x": [4]}, {"y": [3]}, ["output p = x_ -> dense(3)"], "mse(p, y) + l1(0.1) + l2(0.2)",
                        linear("dense1", 3, 4), penalties))

# ---- optimizers: three steps ----

def optimizer(name, call, make):
    def run(given, P, kept, train):
        p = F.linear(given["x"], P.w, P.b)
        return {"p": p}, F.mse_loss(p, given["y"]), None
    values, go = record(name, {"x": [4]}, {"y": [3]}, ["output p = x -> dense(3)"], "mse(p, y)", linear("dense1", 3, 4), run,
                        optimizer=call, steps=3)
    put("loss", "loss", go(True)[1])
    stepper = make(list(values.values()))
    for _ in range(3):
        stepper.zero_grad()
        go(True)[1].backward()
        stepper.step()
    for key, tensor in values.items():
        put("after", key, tensor)
    numbers.append("end")


O = torch.optim
optimizer("sgd", "sgd(lr: 0.1)", lambda p: O.SGD(p, 0.1))
optimizer("sgd_momentum", "sgd(lr: 0.1, momentum: 0.9)", lambda p: O.SGD(p, 0.1, 0.9))
optimizer("sgd_nesterov", "sgd(lr: 0.1, momentum: 0.9, nesterov: true)", lambda p: O.SGD(p, 0.1, 0.9, nesterov=True))
optimizer("adam", "adam(lr: 0.1)", lambda p: O.Adam(p, 0.1))
optimizer("adamw", "adamw(lr: 0.1, weight_decay: 0.1)",
          lambda p: O.AdamW([{"params": p[:1]}, {"params": p[1:], "weight_decay": 0.0}], 0.1, weight_decay=0.1))
optimizer("rmsprop", "rmsprop(lr: 0.1)", lambda p: O.RMSprop(p, 0.1, 0.9))
optimizer("adagrad", "adagrad(lr: 0.1)", lambda p: O.Adagrad(p, 0.1))

HEAD = """# Written by ../record.py; do not edit it here.

optimizer gradient {
    w = g
}

layer window_sum(x[C, T], kernel, stride, pad) {
    size R = window_reach(kernel, 1)
    y[c, i < window_count(T, R, stride, pad)] = sum[u < kernel] (x[c, stride*i + u - window_pad(T, R, stride, pad)] else 0)
}

"""
HERE.mkdir(exist_ok=True)
(HERE / "library.dl").write_text(HEAD + "\n".join(models))
(HERE / "library.numbers").write_text("\n".join(numbers) + "\n")
print(f"{len(models)} models")
