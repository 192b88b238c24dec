"""Draw the logs of all stages: loss, guided loss, and the share of hidden words filled right, over the minutes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True, nargs="+", help="log.jsonl of each stage, in their order")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    series: list[dict[str, float]] = []
    borders, base = [], 0.0
    for log in args.log:
        last: dict[int, dict[str, float]] = {}
        for line in log.read_text(encoding="utf-8").splitlines():  # a resumed run repeats steps: the later row counts
            row = json.loads(line)
            if "step" in row:
                last[row["step"]] = row
        series += [{**last[s], "minutes": base + last[s]["minutes"]} for s in sorted(last)]
        base = series[-1]["minutes"]
        borders.append(base)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    curves = [
        (axes[0], "loss", "loss (nats a sub-word)"),
        (axes[0], "guided", "guided head (nats a row)"),
        (axes[1], "shown_accuracy", "right: shown or next sub-words"),
        (axes[1], "hidden_accuracy", "right: hidden sub-words"),
    ]
    for ax, name, label in curves:
        found = [row for row in series if name in row]
        if found:
            ax.plot([row["minutes"] for row in found], [row[name] for row in found], label=label, linewidth=1)
    for ax in axes:
        ax.set_xlabel("minutes")
        for border in borders[:-1]:
            ax.axvline(border, color="0.7", linewidth=0.8, linestyle=":")
        ax.set_ylim(bottom=0)
        ax.legend(frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(args.out, dpi=120)


if __name__ == "__main__":
    main()
