"""The detector's word on every head of a model over one text; write ``heads.tsv`` and ``heads.md``.

    python experiments/pattern_heads.py

Model, text, length and mass are those of the figures in ``results/pattern``; all may be given.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

from align_eval import __version__, load_model
from align_eval.patterns.attention import HeadPattern, scan_heads, text_attention


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="offline:smollm2-135m")
    parser.add_argument("--text", default="results/pattern/text.txt", metavar="FILE")
    parser.add_argument("--n", type=int, default=64, help="sub-words that are read")
    parser.add_argument("--mass", type=float, default=0.9)
    parser.add_argument("--output", default="results/pattern", metavar="FOLDER")
    given = parser.parse_args()
    text = Path(given.text).read_text("utf-8").strip()
    attention = text_attention(load_model(given.model), text, tokens=given.n)
    found = list(scan_heads(attention, mass=given.mass))
    by_kind: dict[str, list[HeadPattern]] = defaultdict(list)
    for head in found:
        by_kind[head.detection.best.name if head.detection.structured else "unstructured"].append(head)
    folder = Path(given.output)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "heads.tsv").open("w", encoding="utf-8") as stream:
        stream.write(
            "layer\thead\tkind\tspec\texplained\tjaccard\tbits_saved\trunner_up\twindow\tsinks\tsaved_compute\n"
        )
        for head in found:
            best, counted = head.detection.best, head.detection.features
            cells = [
                head.layer, head.head, best.name, best.kind.spec, f"{best.agreement:.4f}", f"{best.jaccard:.4f}",
                f"{head.detection.bits_saved:.1f}", head.detection.runner_up.name, counted.window,
                "+".join(map(str, counted.sinks)), f"{counted.saved_compute:.4f}",
            ]  # fmt: skip
            stream.write("\t".join(map(str, cells)) + "\n")
    sinks = sum(0 in head.detection.features.sinks for head in found)
    lines = [
        f"# Patterns of all heads of {given.model}", "",
        f"{len(found)} heads over the first {attention.read} sub-words of `{given.text}`; a query attends to the "
        f"fewest keys that carry {given.mass:.0%} of its weight. Made by", "",
        f"    {shlex.join(['python', 'experiments/pattern_heads.py', *sys.argv[1:]])}", "",
        f"with align-eval {__version__}; every head is in `heads.tsv`. The first token is a sink column (80 % of the "
        f"queries beyond the window, or more) of {sinks} heads.", "",
        "| best kind | heads | median share of causal cells explained | clearest head (layer, head) |",
        "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, heads in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        clear = max(heads, key=lambda head: head.detection.bits_saved)
        share = median(head.detection.best.agreement for head in heads)
        what = f"{clear.layer}, {clear.head}: {clear.detection.best.kind.describe()}"
        lines.append(f"| {name} | {len(heads)} | {share:.1%} | {what} |")
    (folder / "heads.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
