#!/usr/bin/env python3
"""PyTorch's losses on the sizes of a sweep: peers.py DIR reads DIR/sweep.json and writes
DIR/peers.json, which plot.py draws beside it. Needs PyTorch with CUDA.

Cross-entropy with its options, against probabilities and of [N, C, d]; torchvision's sigmoid focal
loss where it is installed, else its formula; softmax focal loss, negative log-likelihood, entropy;
mean squared error, Huber, binary cross-entropy.
InfoNCE in the batch, and CLIP's loss as open_clip has it: normalize, two products for the
similarities of each direction, two cross-entropies in float.

Counted and timed as the sweep does: bytes that must move, or operations that must be done, over the
median time; device events with no synchronization between them; random data; for losses of rows
and elements buffers rotated until they pass five times the L2 cache. `forward` is the loss alone,
`fused` the loss and its gradient (forward and autograd's backward). The loss is compared with one
in double first; a wrong one is not timed.
"""
import json
import math
import pathlib
import sys

import torch
import torch._dynamo
import torch.nn.functional as F

try:
    import torchvision
    import torchvision.ops
except ImportError:
    torchvision = None

TYPES = {"float": torch.float32, "half": torch.float16, "bf16": torch.bfloat16}
SAMPLES = 20
SCALE = 1 / 0.07


def similarities(queries, keys):
    return SCALE * F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).T


def own_index(logits):
    return torch.arange(len(logits), device=logits.device)


class RowLoss:
    """A matrix of logits, or images or sequences of them [N, C, d], and labels."""
    keys = ("rows", "cols", "state", "bytes")
    targets = False  # of the logits' shape, in [0, 1), instead of labels

    @classmethod
    def wants(cls, row):
        return row["state"] == "cold" and row["mode"] == "fused"

    @classmethod
    def sets(cls, row, kind):
        cache = torch.cuda.get_device_properties(0).L2_cache_size
        return [cls.inputs(row, kind) for _ in range(min(1024, math.ceil(5 * cache / row["bytes"])))]

    @classmethod
    def inputs(cls, row, kind):
        rows, cols, inner = row["rows"], row["cols"], row.get("inner", 0)
        shape = (rows // inner, cols, inner) if inner else (rows, cols)
        logits = torch.randn(shape, device="cuda", dtype=kind, requires_grad=True)
        if cls.targets:
            return logits, torch.rand(shape, device="cuda", dtype=kind)
        return logits, torch.randint(cols, shape[:1] + shape[2:], device="cuda")

    @staticmethod
    def few(row):
        return max(4, (1 << 22) // (row["cols"] * row.get("inner", 1)))

    @staticmethod
    def roundings(loss):
        """What is rounded to the type, of the loss' size: itself."""
        return loss

    @staticmethod
    def rate(row, seconds):
        return {"bytes_per_second": row["bytes"] / seconds}


class CrossEntropy(RowLoss):
    @classmethod
    def wants(cls, row):
        return row["state"] == "cold" and row["rows"] == 8192

    @staticmethod
    def loss(logits, labels):
        return F.cross_entropy(logits, labels)


class Formula(RowLoss):
    """Written out: each of its operations rounds to the type."""

    @staticmethod
    def roundings(loss):
        """Of at most eight operations, of the loss' size."""
        return 8 * loss


class Strided(RowLoss):
    keys = RowLoss.keys + ("inner",)
    loss = staticmethod(CrossEntropy.loss)


class Smoothing(RowLoss):
    @staticmethod
    def loss(logits, labels):
        return F.cross_entropy(logits, labels, label_smoothing=0.1)


class ZLoss(Formula):
    @staticmethod
    def loss(logits, labels):
        square = torch.logsumexp(logits, -1).square().mean()
        return F.cross_entropy(logits, labels) + 1e-4 * square


class Softcap(Formula):
    @staticmethod
    def loss(logits, labels):
        return F.cross_entropy(30 * torch.tanh(logits / 30), labels)


class Targets(RowLoss):
    """Against probabilities."""
    targets = True
    loss = staticmethod(CrossEntropy.loss)


class SoftmaxFocal(Formula):
    gamma = 2

    @classmethod
    def loss(cls, logits, labels):
        losses = F.cross_entropy(logits, labels, reduction="none")
        return (-torch.expm1(-losses)).pow(cls.gamma).mul(losses).mean()


class FractionalFocal(SoftmaxFocal):
    gamma = 1.5


class StridedFocal(SoftmaxFocal):
    keys = RowLoss.keys + ("inner",)


def sigmoid_focal(logits, targets):
    """As torchvision.ops.sigmoid_focal_loss."""
    p = torch.sigmoid(logits)
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    return (losses * (1 - p_t) ** 2 * (0.25 * targets + 0.75 * (1 - targets))).mean()


class SigmoidFocal(Formula):
    targets = True

    @staticmethod
    def loss(logits, targets):
        if torchvision is None:
            return sigmoid_focal(logits, targets)
        return torchvision.ops.sigmoid_focal_loss(logits, targets, reduction="mean")


class SigmoidFocalLabels(Formula):
    """Labels become one-hot targets first; the label after the last class has none."""

    @classmethod
    def inputs(cls, row, kind):
        logits, labels = super().inputs(row, kind)
        background = torch.rand(labels.shape, device="cuda") < 0.875
        return logits, labels.masked_fill_(background, row["cols"])

    @staticmethod
    def loss(logits, labels):
        targets = F.one_hot(labels, logits.shape[1] + 1)[:, :-1].to(logits.dtype)
        return SigmoidFocal.loss(logits, targets)


class Mse(RowLoss):
    targets = True

    @staticmethod
    def loss(predictions, targets):
        return F.mse_loss(predictions, targets)


class Huber(Mse):
    @staticmethod
    def loss(predictions, targets):
        return F.huber_loss(predictions, targets)


class BinaryCrossEntropy(Mse):
    @staticmethod
    def loss(logits, targets):
        return F.binary_cross_entropy_with_logits(logits, targets)


class Nll(RowLoss):
    @staticmethod
    def loss(logits, labels):
        return F.nll_loss(logits, labels)

    @staticmethod
    def roundings(loss):
        """A sum of both signs of numbers around 1."""
        return 1


class Entropy(Formula):
    """Of logits; the labels are not read."""

    @staticmethod
    def loss(logits, _):
        logs = F.log_softmax(logits, -1)
        return -(logs.exp() * logs).sum(-1).mean()


class InfoNce:
    """Queries and as many keys."""
    keys = ("batch", "keys", "negatives", "dimension", "flop")

    @staticmethod
    def wants(row):
        return row["negatives"] == 0 and row["keys"] == row["batch"] and row["workspace"] == "best"

    @staticmethod
    def loss(queries, keys):
        logits = similarities(queries, keys)
        kind = torch.promote_types(logits.dtype, torch.float32)
        return F.cross_entropy(logits.to(kind), own_index(logits))

    @staticmethod
    def sets(row, kind):
        return [tuple(torch.randn(row["batch"], row["dimension"], device="cuda", dtype=kind,
                                  requires_grad=True) for _ in range(2))]

    @staticmethod
    def few(row):
        return 1024

    @staticmethod
    def roundings(loss):
        """The loss, and similarities."""
        return loss + SCALE

    @staticmethod
    def rate(row, seconds):
        return {"flop_per_second": row["flop"] / seconds}


class Clip(InfoNce):
    @staticmethod
    def loss(images, texts):
        return (InfoNce.loss(images, texts) + InfoNce.loss(texts, images)) / 2


LOSSES = {"cross_entropy": CrossEntropy, "cross_entropy_smoothing": Smoothing,
          "cross_entropy_z_loss": ZLoss, "cross_entropy_softcap": Softcap,
          "cross_entropy_targets": Targets, "cross_entropy_strided": Strided,
          "softmax_focal": SoftmaxFocal, "softmax_focal_1.5": FractionalFocal,
          "softmax_focal_strided": StridedFocal, "sigmoid_focal": SigmoidFocal,
          "sigmoid_focal_labels": SigmoidFocalLabels, "mse": Mse, "huber": Huber,
          "binary_cross_entropy": BinaryCrossEntropy, "nll": Nll, "entropy_logits": Entropy,
          "info_nce": InfoNce, "clip": Clip}


def call_of(mode, function):
    if mode == "forward":
        def forward(*inputs):
            with torch.no_grad():
                return function(*inputs)
        return forward

    def fused(*inputs):
        loss = function(*inputs)
        return loss, torch.autograd.grad(loss, [x for x in inputs if x.requires_grad])
    return fused


def quartiles(call, sets):
    for inputs in sets[:3] * (3 // len(sets[:3])):
        call(*inputs)
    # One event before each round over all sets and one after the last.
    events = [torch.cuda.Event(enable_timing=True) for _ in range(SAMPLES + 1)]
    torch.cuda.synchronize()
    events[0].record()
    for event in events[1:]:
        for inputs in sets:
            call(*inputs)
        event.record()
    torch.cuda.synchronize()
    seconds = torch.tensor([a.elapsed_time(b) * 1e-3 / len(sets)
                            for a, b in zip(events, events[1:])], dtype=torch.float64)
    return torch.quantile(seconds, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()


def is_right(call, mode, of, inputs, rows):
    """Against float64 on the first rows; the type's own rounding is the yardstick."""
    few = [x[:rows].detach() for x in inputs]
    result = call(*(x.requires_grad_(x.is_floating_point()) for x in few))
    value = (result if mode == "forward" else result[0]).item()
    with torch.no_grad():
        exact = of.loss(*(x.double() if x.is_floating_point() else x for x in few)).item()
    bound = torch.finfo(inputs[0].dtype).eps * of.roundings(exact)
    return math.isfinite(value) and abs(value - exact) <= bound


def measure(row, of, function):
    sets = of.sets(row, TYPES[row["type"]])
    call = call_of(row["mode"], function)
    if not is_right(call, row["mode"], of, sets[0], of.few(row)):
        return None
    return quartiles(call, sets)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no CUDA device")
    folder = pathlib.Path(sys.argv[1])
    sweep = json.loads((folder / "sweep.json").read_text())
    wanted = [r for r in sweep["rows"]
              if r["loss"] in LOSSES and r["mode"] in ("forward", "fused")
              and r["outcome"] == "measured" and LOSSES[r["loss"]].wants(r)]
    compiled = {name: torch.compile(of.loss, dynamic=False) for name, of in LOSSES.items()}
    peers = {"torch eager": lambda name: LOSSES[name].loss, "torch.compile": compiled.get}
    torch._dynamo.config.cache_size_limit = 1024  # one program a size and type
    rows = []
    for peer, function_of in peers.items():
        for row in wanted:
            of = LOSSES[row["loss"]]
            try:
                seconds = measure(row, of, function_of(row["loss"]))
            except torch.cuda.OutOfMemoryError:
                print(f"{peer} {row['name']}: out of memory", flush=True)
                continue
            finally:
                torch.cuda.empty_cache()
            if seconds is None:
                print(f"{peer} {row['name']}: WRONG, not timed", flush=True)
                continue
            lower, median, upper = seconds
            rate = of.rate(row, median)
            rows.append({key: row[key] for key in ("loss", "mode", "type") + of.keys}
                        | {"peer": peer, "seconds": median, "seconds_quartiles": [lower, upper]}
                        | rate)
            (unit, speed), = rate.items()
            print(f"{peer:14} {row['name']:68} {median * 1e3:9.3f} ms {speed / 1e9:10.1f} "
                  f"G{'B' if unit.startswith('bytes') else 'FLOP'}/s, "
                  f"culoss {row['seconds'] / median:.2f} of its time", flush=True)
    result = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
              "cuda": torch.version.cuda, "rows": rows}
    (folder / "peers.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
