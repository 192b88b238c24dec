"""The heads that align best in models that people run, on gold: results/alignment-heads.

    python experiments/alignment_heads.py -o results/alignment-heads
    python experiments/alignment_heads.py -o results/alignment-heads --only gemma3-270m

Each model on each test set: the best single head (layer, head, mode) chosen on a fifth of the sentences and scored on
the rest with its Translation Score, the mean of the eight best, and the logistic combination. Of long test sets the
decoder-only models read the first so many pairs (column `pairs`). A row that stands in heads.json is kept. Models of
the table that have not been added (align-eval models add) are left out, and said.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import align_eval as ae
from align_eval.figures.style import PALETTE, TWO_COLUMNS, save, settings
from align_eval.models.offline import MODELS
from align_eval.runs.alignment_heads import head_rows, translation_scores
from align_eval.runs.results import environment, write_json
from align_eval.runs.sweep import for_testset
from align_eval.tables import TextTable, render_markdown

FIVE = ("deen-rwth", "enfr-wpt", "roen-wpt", "jaen-kftt", "zhen-tsinghua")
# Model -> its test sets, and how many pairs of each it reads (None: all).
RUNS: dict[str, tuple[tuple[str, ...], int | None]] = {
    "bergamot-enpt": (("xl-wa-pt-test",), None),
    "bergamot-pten": (("xl-wa-pt-test:reverse",), None),
    "tiny-deen": (("deen-rwth", "mini-ende"), None),
    "e5-small": (FIVE, None),
    "gemma3-270m": (FIVE, 150),
    "smollm2-135m": (FIVE, 150),
}
DEV, SEED, TOP = 0.2, 12345, 8


def load(name: str) -> ae.Corpus:
    base, _, turned = name.partition(":")
    corpus = ae.load_testset(base)
    return corpus.reverse() if turned else corpus


def run(model: Any, name: str, limit: int | None) -> dict[str, Any]:
    corpus = load(name)
    if limit is not None and len(corpus.pairs) > limit:
        corpus = corpus.part(range(limit))
    reader = for_testset(model, corpus)
    parts = ae.split(len(corpus.pairs), DEV, SEED)
    found = ae.sweep_testset(corpus, reader, development=parts[0])
    scores = translation_scores(corpus, reader)
    rows = head_rows(found, scores, parts, TOP, seed=SEED)
    out: dict[str, Any] = {"pairs": len(corpus.pairs), "dev": len(parts[0]), "views": len(found.views), "heads": rows}
    for kind in ("greedy", "logistic"):
        chosen = ae.select(found, kind, parts, max_heads=TOP, seed=SEED)
        out[kind] = {"aer": chosen.score.aer, "ci": chosen.score.ci["aer"], "views": len(chosen.selection.views)}
    out["modes"] = {}
    for mode in dict.fromkeys(row.reading for row in found.views):
        views = [k for k, view in enumerate(found.views) if view.reading == mode and isinstance(view.head, int)]
        best = min(views, key=lambda k: found.aer(parts[0])[k])
        view = found.views[best]
        out["modes"][mode] = {"layer": view.layer, "head": view.head, "aer": float(found.aer(parts[1])[best])}
    # Does a head that was chosen here stay best elsewhere? Dev AER of all single heads, for the table of transfers.
    out["all"] = {
        f"L{v.layer}H{v.head} {v.reading}": round(float(found.aer(parts[1])[k]), 2)
        for k, v in enumerate(found.views)
        if isinstance(v.head, int) and isinstance(v.layer, int)
    }
    return out


def with_ends(aer: float, ci: Any) -> str:
    return f"{aer:.1f} ({ci[0]:.1f} - {ci[1]:.1f})"


def page(found: dict[str, dict[str, Any]]) -> str:
    rows, transfers = [], []
    for key, one in found.items():
        model, name = key.split(" ")
        best = one["heads"][0]
        head = f"L{best['layer']}H{best['head']} {best['mode']}"
        rows.append([
            model, name, str(one["pairs"]), head, with_ends(best["aer"], best["ci"]), f"{best['ts']:.1f}",
            *(with_ends(one[kind]["aer"], one[kind]["ci"]) for kind in ("greedy", "logistic")),
        ])  # fmt: skip
        for other, there in found.items():
            if other != key and other.split(" ")[0] == model:
                named = f"L{best['layer']}H{best['head']} {READINGS.get(best['mode'], best['mode'])}"
                own = there["heads"][0]["aer"]
                transfers.append([model, name, head, other.split(" ")[1], f"{there['all'][named]:.1f}", f"{own:.1f}"])
    columns = ["model", "test set", "pairs", "best head", "AER", "TS", "mean of up to 8", "logistic"]
    one = "\n".join(render_markdown(TextTable("", columns, rows, 4)))
    columns = ["model", "chosen on", "head", "scored on", "AER", "of the head chosen there"]
    two = "\n".join(render_markdown(TextTable("", columns, transfers, 4)))
    return PAGE.format(main=one, transfers=two)


# Alignment modes of encoders by the names that views have.
READINGS = {"both": "block", "src2tgt": "block-st", "tgt2src": "block-ts"}
PAGE = """# Alignment heads of real models

The best single head (layer, head, alignment mode) of each model on each test set, chosen by AER on a fifth of the
sentence pairs and scored on the rest; AER in percent with 95 % intervals, Translation Score (TS) in percent. Beside it
the mean of up to eight views chosen greedily, and the L1-regularised logistic combination, chosen on the same fifth.
Decoder-only models read the prompt of the package, zero-shot, and the first pairs of long sets. Made by

    python experiments/alignment_heads.py -o results/alignment-heads

{main}

![AER of the best head and of combinations](heads.png)

In the translation models one head is nearly as good as any combination of heads; the decoder-only model spreads what
it knows of alignment over many heads, and the logistic combination is far better than its best one. There TS is low
even where AER is not: the greatest weight of a row often lies on none of the linked source words.

## Does a head chosen on one test set stay good on another?

The head chosen on one set, scored on the others, beside the head that was chosen there:

{transfers}

heads.json has the eight best heads of each row, the best of each mode, and the test AER of every head.
"""


def figure(found: dict[str, dict[str, Any]], out: Path) -> None:
    from matplotlib import pyplot

    with settings():
        drawn, axes = pyplot.subplots(figsize=(TWO_COLUMNS, 0.26 * len(found) + 0.7), layout="constrained")
        places = range(len(found))[::-1]
        kinds = (("best head", "o"), ("mean of up to 8", "s"), ("logistic", "D"))
        for (label, mark), colour, shift in zip(kinds, PALETTE, (0.2, 0.0, -0.2), strict=False):
            shown = [
                one["heads"][0] if label == "best head" else one["greedy" if label.startswith("mean") else "logistic"]
                for one in found.values()
            ]
            for place, scored in zip(places, shown, strict=True):
                aer, (low, high) = scored["aer"], scored["ci"]
                axes.plot([low, high], [place + shift] * 2, color=colour, linewidth=1)
                axes.plot([aer], [place + shift], color=colour, marker=mark, markersize=3.5, linestyle="",
                          label=label if place == places[0] else None)  # fmt: skip
        axes.set_yticks(list(places), [key.replace(" ", ", ") for key in found])
        axes.set_xlim(0, 100)
        axes.set_xlabel("AER on the test part (lower is better)")
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.9 / len(found)), ncols=3)
        save(drawn, out / "heads.png")
        save(drawn, out / "heads.pdf")
        pyplot.close(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one model")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "heads.json"
    found = json.loads(path.read_text())["rows"] if path.exists() else {}
    for name, (sets, limit) in RUNS.items():
        if args.only not in (None, name):
            continue
        if MODELS.get(name).state() != "ready":
            sys.stderr.write(f"{name} has not been added: left out\n")
            continue
        model = ae.load_model(f"offline:{name}")
        for testset in sets:
            if f"{name} {testset}" not in found:
                found[f"{name} {testset}"] = one = run(model, testset, limit)
                best = one["heads"][0]
                sys.stderr.write(f"{name} {testset}: {best}\n")
                write_json(path, {"environment": environment(), "rows": found})
    order = [f"{name} {testset}" for name, (sets, _) in RUNS.items() for testset in sets]
    listed = {key: found[key] for key in order if key in found}
    figure(listed, args.output)
    (args.output / "README.md").write_text(page(listed), encoding="utf-8")


if __name__ == "__main__":
    main()
