#!/usr/bin/env python3
"""PyTorch's cross-entropy on the sizes of a sweep: peers.py DIR reads DIR/sweep.json and writes
DIR/peers.json, which plot.py draws beside it. Needs PyTorch with CUDA.

Counted and timed as the sweep does: bytes that must move over the median time, device events with no
synchronization between them, buffers rotated until they pass five times the L2 cache, random data.
`forward` is the loss alone, `fused` the loss and its gradient (forward and autograd's backward). The
loss is compared with one in double first; a wrong one is not timed.
"""
import json
import math
import pathlib
import sys

import torch
import torch._dynamo
import torch.nn.functional as F

TYPES = {"float": torch.float32, "half": torch.float16, "bf16": torch.bfloat16}
SAMPLES = 20


def mean_loss(logits, labels):
    return F.cross_entropy(logits, labels)


def call_of(mode, function):
    if mode == "forward":
        def forward(logits, labels):
            with torch.no_grad():
                return function(logits, labels)
        return forward

    def fused(logits, labels):
        loss = function(logits, labels)
        return loss, torch.autograd.grad(loss, logits)[0]
    return fused


def quartiles(call, sets):
    for logits, labels in sets[:3]:
        call(logits, labels)
    # One event before each round over all sets and one after the last.
    events = [torch.cuda.Event(enable_timing=True) for _ in range(SAMPLES + 1)]
    torch.cuda.synchronize()
    events[0].record()
    for event in events[1:]:
        for logits, labels in sets:
            call(logits, labels)
        event.record()
    torch.cuda.synchronize()
    seconds = torch.tensor([a.elapsed_time(b) * 1e-3 / len(sets)
                            for a, b in zip(events, events[1:])], dtype=torch.float64)
    return torch.quantile(seconds, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()


def is_right(call, mode, logits, labels):
    """Against float64 on the first rows; the type's own rounding is the yardstick."""
    rows = min(len(logits), max(4, (1 << 22) // logits.shape[1]))
    x, t = logits[:rows].detach().requires_grad_(), labels[:rows]
    result = call(x, t)
    loss = result if mode == "forward" else result[0]
    exact = F.cross_entropy(x.detach().double(), t)
    return math.isfinite(loss.item()) and abs(loss.item() - exact.item()) <= \
        torch.finfo(logits.dtype).eps * exact.item()


def measure(row, function):
    kind, rows, cols = TYPES[row["type"]], row["rows"], row["cols"]
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    count = min(1024, math.ceil(5 * cache / row["bytes"]))
    sets = [(torch.randn(rows, cols, device="cuda", dtype=kind, requires_grad=True),
             torch.randint(cols, (rows,), device="cuda")) for _ in range(count)]
    call = call_of(row["mode"], function)
    if not is_right(call, row["mode"], *sets[0]):
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
              if r["loss"] == "cross_entropy" and r["mode"] in ("forward", "fused")
              and r["state"] == "cold" and r["outcome"] == "measured" and r["rows"] == 8192]
    peers = {"torch eager": mean_loss, "torch.compile": torch.compile(mean_loss, dynamic=False)}
    torch._dynamo.config.cache_size_limit = 1024  # one program a size and type
    rows = []
    for peer, function in peers.items():
        for row in wanted:
            try:
                seconds = measure(row, function)
            except torch.cuda.OutOfMemoryError:
                print(f"{peer} {row['name']}: out of memory", flush=True)
                continue
            if seconds is None:
                print(f"{peer} {row['name']}: WRONG, not timed", flush=True)
                continue
            lower, median, upper = seconds
            speed = row["bytes"] / median
            rows.append({key: row[key] for key in ("mode", "type", "rows", "cols", "state", "bytes")}
                        | {"peer": peer, "seconds": median, "seconds_quartiles": [lower, upper],
                           "bytes_per_second": speed})
            print(f"{peer:14} {row['name']:56} {median * 1e3:9.3f} ms {speed / 1e9:8.1f} GB/s, "
                  f"culoss {row['seconds'] / median:.2f} of its time", flush=True)
            torch.cuda.empty_cache()
    result = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
              "cuda": torch.version.cuda, "rows": rows}
    (folder / "peers.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
