#!/usr/bin/env python3
"""Plots of the sweep: plot.py DIR reads DIR/sweep.json (and DIR/peers.json) and writes PNGs there.

throughput.png  bytes that must move, over time, against batch size; a line a width, a panel a mode,
                the measured bandwidth limit dashed
widths.png      percent of that limit against width, at one batch size; a line a type, and the
                peers where there are some
losses.png      the other losses of rows and elements: percent of that limit (on the CPU, GB/s), a
                line a function and size, a mark a mode, and the peers where there are some
similarity.png  losses over similarities: operations of the plan, over time, against batch size and
                against the number of negatives; the measured rate of a plain matrix product dashed
"""
import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

MODES = ["forward", "backward", "fused"]
TITLES = {"forward": "forward", "backward": "backward", "fused": "loss and gradient in one call",
          "in_place": "loss and gradient, in place", "both": "loss and both gradients"}
TYPES = {"bf16": "C0", "half": "C1", "float": "C2", "double": "C3"}


def load(path):
    with open(path) as file:
        return json.load(file)


def rate(row):
    return row["bytes_per_second"] / 1e9


def limit(row):
    return row["limit_bytes_per_second"] / 1e9


def percent(row):
    return 100 * rate(row) / limit(row)


def of(table, **wanted):
    return [r for r in table if all(r.get(key) == value for key, value in wanted.items())]


def most_frequent(rows, *keys):
    """Values of the keys that the most rows share."""
    values = [tuple(r[key] for key in keys) for r in rows]
    return dict(zip(keys, max(values, key=values.count)))


def count(x):
    unit, name = next(((u, n) for u, n in ((1 << 20, "M"), (1 << 10, "k")) if x >= u), (1, ""))
    return f"{x / unit:g}{name}"


def counts(axis):
    """Batch sizes and widths are powers of two: label them as counts."""
    axis.set_major_formatter(FuncFormatter(lambda x, _: count(x)))
    axis.set_minor_formatter(NullFormatter())


def heading(sweep, what):
    where = sweep["device"] if sweep["execution"] == "cuda" else f"CPU reference, {sweep['device']}"
    return f"{what}\n{where}, {sweep['date'][:10]}"


def beside(axis, handles, labels, **more):
    axis.legend(handles, labels, loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9, **more)


def by_batch(sweep, rows, kind, state):
    """Throughput against batch size for one type."""
    modes = [m for m in MODES if of(rows, mode=m)]
    widths = sorted({r["cols"] for r in rows})
    colors = dict(zip(widths, plt.cm.viridis([0.92 * i / max(1, len(widths) - 1)
                                              for i in range(len(widths))])))
    on_gpu = sweep["execution"] == "cuda"
    figure, axes = plt.subplots(1, len(modes), figsize=(4.6 * len(modes) + 1.6, 4.9), sharey=True,
                                squeeze=False, layout="constrained")
    lines = {}
    for axis, mode in zip(axes[0], modes):
        panel = of(rows, mode=mode)
        for width in widths:
            line = sorted(of(panel, cols=width), key=lambda r: r["rows"])
            if line:
                lines[width], = axis.plot([r["rows"] for r in line], [rate(r) for r in line],
                                          marker="o", markersize=3.5, color=colors[width])
        # The limit at the largest transfer: smaller ones that fit the cache would say more.
        largest = max(panel, key=lambda r: r["bytes"])
        axis.axhline(limit(largest), color="black", linestyle="--", linewidth=1)
        axis.annotate(f"limit: a plain {largest['limit']}, {limit(largest):,.0f} GB/s",
                      (0.02, limit(largest)), xycoords=("axes fraction", "data"),
                      xytext=(0, 4), textcoords="offset points", fontsize=9)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_locator(LogLocator(base=8, numticks=12))
        counts(axis.xaxis)
        if not on_gpu:
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        else:
            axis.set_ylim(0, 1.12 * max(max(limit(r), rate(r)) for r in rows))
        axis.set_title(TITLES[mode], fontsize=11)
        axis.set_xlabel("rows (batch size)")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("GB/s, by the bytes that must move")
    beside(axes[0][-1], [lines[w] for w in widths], [f"{w:,}" for w in widths], title="columns")
    figure.suptitle(heading(sweep, f"cross_entropy, {kind}" + (f", {state} cache" if on_gpu else "")), fontsize=12)
    return figure


def by_width(sweep, rows, peers):
    """Percent of the limit against width."""
    modes = [m for m in MODES if of(rows, mode=m)]
    figure, axes = plt.subplots(1, len(modes), figsize=(4.6 * len(modes) + 1.6, 4.9), sharey=True,
                                squeeze=False, layout="constrained")
    lines = {}
    for axis, mode in zip(axes[0], modes):
        panel = of(rows, mode=mode)
        batch = usual_batch(panel)
        for kind, color in TYPES.items():
            line = sorted(of(panel, type=kind, rows=batch), key=lambda r: r["cols"])
            if len(line) > 1:
                lines[kind], = axis.plot([r["cols"] for r in line], [percent(r) for r in line],
                                         marker="o", markersize=3.5, color=color)
        limits = {(r["type"], r["cols"]): limit(r) for r in of(panel, rows=batch)}
        for name, style in (("torch eager", ":"), ("torch.compile", "-.")):
            line = [r for r in of(peers, peer=name, mode=mode, rows=batch)
                    if (r["type"], r["cols"]) in limits]
            if line:
                line.sort(key=lambda r: r["cols"])
                lines[f"{name}, {line[0]['type']}"], = axis.plot(
                    [r["cols"] for r in line],
                    [100 * rate(r) / limits[r["type"], r["cols"]] for r in line],
                    linestyle=style, color="gray")
        axis.axhline(100, color="black", linestyle="--", linewidth=1)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_locator(LogLocator(base=4, numticks=12))
        counts(axis.xaxis)
        axis.set_ylim(0, 115)
        axis.set_title(f"{TITLES[mode]}, {batch:,} rows", fontsize=11)
        axis.set_xlabel("columns (classes)")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("percent of a plain read (forward) or copy")
    beside(axes[0][-1], list(lines.values()), list(lines.keys()))
    figure.suptitle(heading(sweep, "cross_entropy, share of the bandwidth limit"), fontsize=12)
    return figure


SIMILARITIES = {"info_nce": ("C0", "InfoNCE"), "info_nce_queue": ("C2", "InfoNCE, queue"),
                "clip": ("C1", "CLIP"), "siglip": ("C3", "SigLIP")}


def against(axis, rows, key, unit, peers=()):
    """Operations over time against a number of rows; a line a loss and mode."""
    for name, (color, title) in SIMILARITIES.items():
        for mode, style in (("fused", "-"), ("forward", ":")):
            line = sorted(of(rows, loss=name, mode=mode), key=lambda r: r[key])
            if len(line) > 1:
                axis.plot([r[key] for r in line], [r["plan_flop_per_second"] / unit for r in line],
                          marker="o", markersize=3.5, color=color, linestyle=style,
                          label=f"{title}, {'loss and gradients' if mode == 'fused' else mode}")
        for peer, style in (("torch eager", "--"), ("torch.compile", "-.")):
            line = sorted(of(peers, loss=name, peer=peer, mode="fused"), key=lambda r: r[key])
            if line:
                axis.plot([r[key] for r in line], [r["flop_per_second"] / unit for r in line],
                          color=color, linestyle=style, linewidth=1, label=f"{title}, {peer}")
    limit = max(r["limit_flop_per_second"] for r in rows) / unit
    axis.axhline(limit, color="black", linestyle="--", linewidth=1)
    axis.annotate(f"a plain matrix product: {limit:,.3g}", (0.02, limit),
                  xycoords=("axes fraction", "data"), xytext=(0, 4), textcoords="offset points",
                  fontsize=9)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(LogLocator(base=4, numticks=12))
    counts(axis.xaxis)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="best")


def by_similarities(sweep, rows, peers):
    """Throughput of the losses over similarities, against batch size and number of negatives."""
    on_gpu = sweep["execution"] == "cuda"
    unit, unit_name = (1e12, "TFLOP/s") if on_gpu else (1e9, "GFLOP/s")
    rows = [r for r in rows if r["workspace"] not in ("recompute", "kept")]
    in_batch = [r for r in rows if r["negatives"] == 0 and r["keys"] == r["batch"]]
    queue = of(rows, loss="info_nce_queue")
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.9), layout="constrained", sharey=True)
    for axis, panel, key, title, label in (
            (axes[0], in_batch, "batch", "negatives of the batch", "batch size"),
            (axes[1], queue, "negatives", "a queue of negatives", "negatives")):
        axis.set_title("nothing measured", fontsize=11)
        axis.set_xlabel(label)
        if not panel:
            continue
        fixed = most_frequent(panel, "type", "dimension", *(["batch"] if key == "negatives" else []))
        against(axis, of(panel, **fixed), key, unit, of(peers, **fixed) if key == "batch" else ())
        at = f", batch {fixed['batch']}" if "batch" in fixed else ""
        axis.set_title(f"{title}: {fixed['type']}, dimension {fixed['dimension']}{at}", fontsize=11)
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel(f"{unit_name}, by the operations of the plan")
    figure.suptitle(heading(sweep, "losses over similarities"), fontsize=12)
    return figure


MARKS = {"forward": ("o", "C0"), "backward": ("s", "C1"), "fused": ("D", "C2"),
         "in_place": ("^", "C4"), "both": ("v", "C3")}
SWEPT = ("cross_entropy", "softmax", "log_softmax")  # over batch size and width
PEER_MARKS = {"torch eager": "x", "torch.compile": "+"}


def size(row):
    inner = row.get("inner", 0)
    sizes = (row["rows"] // inner, row["cols"], inner) if inner else (row["rows"], row["cols"])
    if row.get("negatives", 0):  # of each row's own
        sizes = row["rows"], row["negatives"], row["dimension"]
    return " x ".join(f"{n:,}" for n in sizes)


def by_loss(sweep, rows, peers):
    """One line a function and size; left those of matrices, right of images and of elements."""
    on_gpu = sweep["execution"] == "cuda"
    value = percent if on_gpu else rate
    apart = [r for r in rows if "inner" in r or r["loss"].startswith("sigmoid")]
    panels = [[r for r in rows if r not in apart], apart]
    labels = [list(dict.fromkeys((r["loss"], size(r)) for r in panel)) for panel in panels]
    figure, axes = plt.subplots(1, 2, figsize=(15, 1.9 + 0.27 * max(map(len, labels))),
                                layout="constrained", sharex=True)
    marks = {}
    for axis, panel, lines in zip(axes, panels, labels):
        for mode, (mark, color) in MARKS.items():
            for row in of(panel, mode=mode):
                marks[TITLES.get(mode, mode)] = axis.scatter(
                    value(row), lines.index((row["loss"], size(row))), marker=mark, color=color,
                    s=26, zorder=3)
        limits = {(r["loss"], size(r)): limit(r) for r in of(panel, mode="fused")}
        for row in of(peers, mode="fused"):
            at = row["loss"], size(row)
            if at in limits:
                marks[f"{row['peer']}, fused"] = axis.scatter(
                    100 * rate(row) / limits[at], lines.index(at), color="gray",
                    marker=PEER_MARKS[row["peer"]], s=30, zorder=2)
        axis.set_yticks(range(len(lines)), [f"{name}  {of_size}" for name, of_size in lines],
                        fontsize=8)
        axis.set_ylim(max(map(len, labels)) - 0.5, -0.5)
        axis.grid(alpha=0.3)
        if on_gpu:
            axis.axvline(100, color="black", linestyle="--", linewidth=1)
            axis.set_xlabel("percent of a plain read (forward) or copy")
        else:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            axis.set_xlabel("GB/s, by the bytes that must move")
    beside(axes[1], list(marks.values()), list(marks.keys()))
    figure.suptitle(heading(sweep, f"losses of rows and elements, {rows[0]['type']}"), fontsize=12)
    return figure


def usual_batch(rows):
    """The batch size with the most types and widths; of equals the largest."""
    sizes = {}
    for row in rows:
        sizes.setdefault(row["rows"], set()).add((row["type"], row["cols"]))
    return max(sizes, key=lambda batch: (len(sizes[batch]), batch))


def save(figure, path):
    figure.savefig(path, dpi=130)
    plt.close(figure)
    print(path)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    sweep = load(folder / "sweep.json")
    peers = load(folder / "peers.json")["rows"] if (folder / "peers.json").exists() else []
    measured = of(sweep["rows"], outcome="measured")
    similarities = [r for r in measured if r["loss"] in SIMILARITIES]
    if similarities:
        save(by_similarities(sweep, similarities, peers), folder / "similarity.png")
    # Of mined triplets and of a linear classifier, whose sizes are others, the table says enough.
    others = [r for r in measured
              if "rows" in r and (r["loss"] not in SWEPT or r["mode"] == "in_place")]
    if others:
        kind = most_frequent(others, "type")
        save(by_loss(sweep, of(others, **kind), of(peers, **kind)), folder / "losses.png")
    rows = [r for r in of(measured, loss="cross_entropy") if r["mode"] in MODES]
    if not rows:
        print("no row of cross_entropy was measured: no plot of it")
        return
    on_gpu = sweep["execution"] == "cuda"
    state = "cold" if of(rows, state="cold") else "hot"
    kind = max(TYPES, key=lambda k: len(of(rows, type=k, state=state)))
    save(by_batch(sweep, of(rows, type=kind, state=state), kind, state), folder / "throughput.png")
    if on_gpu:
        save(by_width(sweep, of(rows, state=state), of(peers, loss="cross_entropy")),
             folder / "widths.png")


if __name__ == "__main__":
    main()
