"""Draw the training log: loss, guided loss, and the share of hidden words filled right, over the steps."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [json.loads(line) for line in args.log.read_text(encoding="utf-8").splitlines()]
    last: dict[int, dict[str, float]] = {}
    for row in rows:  # a resumed run repeats steps: the later row counts
        if "step" in row:
            last[row["step"]] = row
    series = [last[s] for s in sorted(last)]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    steps = [row["step"] for row in series]
    axes[0].plot(steps, [row["loss"] for row in series], label="cross-entropy (nats a sub-word)")
    guided = [row for row in series if "guided" in row]
    axes[0].plot([r["step"] for r in guided], [r["guided"] for r in guided], label="guided head (nats a row)")
    axes[1].plot(steps, [row["shown_accuracy"] for row in series], label="right, shown or next sub-word")
    hidden = [row for row in series if "hidden_accuracy" in row]
    if hidden:
        axes[1].plot(
            [r["step"] for r in hidden], [r["hidden_accuracy"] for r in hidden], label="right, hidden sub-word"
        )
    for ax in axes:
        ax.set_xlabel("step")
        ax.set_ylim(bottom=0)
        ax.legend(frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(args.out, dpi=120)


if __name__ == "__main__":
    main()
