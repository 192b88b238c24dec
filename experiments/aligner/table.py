"""The tables and figures of results/aligner: the trained aligners of the package on every test set.

    python experiments/aligner/table.py -o results/aligner

Needs the published gold sets (ALIGN_EVAL_DATA), and ``ablations.json`` of ablations.py in the output folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from train import dev_corpora, free_corpora, own_corpora, parts

import align_eval as ae
from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.corpora import SentencePair
from align_eval.figures.style import ONE_COLUMN, PALETTE, save, settings
from align_eval.models import load_model
from align_eval.runs.evaluate import Evaluation, evaluate_testset
from align_eval.runs.results import environment, write_json
from align_eval.scoring.breakdown import breakdown
from align_eval.scoring.measures import measures
from align_eval.scoring.tables import breakdown_tables
from align_eval.tables import TextTable, p_value, render_markdown
from align_eval.training.data import normalised
from align_eval.training.refiner import Cells, expected_calibration_error, reliability

MODEL = "offline:e5-small"
METHODS = ("argmax", "refined", "refined:name=cc0")
PUBLISHED_SETS = ("deen-rwth", "enfr-wpt", "roen-wpt", "zhen-tsinghua", "jaen-kftt")
OWN = ("mini-ende", "mini-enfr", "mini-enes", "mini-enzh")
# AER as the papers state it (whole sets); a dash: not stated.
PUBLISHED = {
    "SimAlign, mBERT, itermax": (18.8, 7.6, 27.2, 21.6, 46.6),
    "awesome-align, mBERT, not fine-tuned": (17.4, 5.6, 27.9, 18.1, 45.6),
    "awesome-align, mBERT, fine-tuned": (15.2, 4.1, 22.6, 13.4, 37.4),
    "Cross-Align": (13.6, 3.4, 20.9, 10.1, 35.4),
    "eflomal, with training text": (22.6, 8.2, 25.1, 28.7, 47.5),
    "fast_align, with training text": (27.0, 10.5, 32.1, 38.1, 51.1),
}
NAMES = {"argmax": "argmax, layer 7", "refined": "refined, free", "refined:name=cc0": "refined, cc0"}


def unseen_english() -> ae.Corpus:
    """All XL-WA test pairs whose English is in no XL-WA dev set; a pair's id begins with its language."""
    seen = {normalised(p.source) for corpus in dev_corpora() for p in corpus.pairs}
    found = []
    for name in ae.testset_names():
        if name.startswith("xl-wa-") and name.endswith("-test"):
            corpus = ae.load_testset(name)
            found += [
                SentencePair(f"{corpus.target_language}/{p.id}", p.source, p.target, p.gold)
                for p in corpus.pairs
                if normalised(p.source) not in seen
            ]
    return replace(ae.Corpus.from_pairs(found, "xl-wa-unseen"), source_language="en")


def cells(aligner: Any, testset: ae.Corpus) -> Cells:
    """All probabilities of a test set's cells with its gold."""
    rows: list[tuple[Any, ...]] = []
    for pair in testset.pairs:
        if pair.source and pair.target and pair.gold is not None:
            shape = len(pair.source), len(pair.target)
            gold = (links.matrix(*shape).ravel() for links in (pair.gold.sure, pair.gold.possible))
            rows.append((aligner.probabilities(pair).ravel(), *gold))
    return Cells(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def precision_at(one: Cells, recall: float) -> tuple[float, float]:
    """Precision (percent) and threshold where recall is at least ``recall`` percent; NaN: it never is."""
    thresholds = np.round(np.arange(0.99, 0.009, -0.01), 2)
    links, sure, possible, gold = one.counts(thresholds).T
    enough = np.flatnonzero(100 * sure / gold >= recall)
    if not len(enough):
        return float("nan"), float("nan")
    return 100 * possible[enough[0]] / links[enough[0]], float(thresholds[enough[0]])


def interval(e: Evaluation) -> str:
    low, high = e.score.ci["aer"]
    return f"{e.score.aer:.2f} ({low:.1f} - {high:.1f})"


def table(columns: Sequence[str], rows: list[list[str]], left: int = 1) -> str:
    return "\n".join(render_markdown(TextTable("", columns, rows, left)))


def main_table(found: dict[str, list[Evaluation]]) -> str:
    sets = (*PUBLISHED_SETS, "xl-wa-unseen")
    rows = []
    for k, method in enumerate(METHODS):
        rows.append([NAMES[method], "measured", *(interval(found[name][k]) for name in sets)])
    for name, values in PUBLISHED.items():
        rows.append([name, "published", *(f"{v:.1f}" for v in values), ""])
    return table(["aligner", "", *PUBLISHED_SETS, "XL-WA test, unseen English"], rows, 2)


def p_values(found: dict[str, list[Evaluation]]) -> str:
    rows = []
    for name, group in found.items():
        row = [name, str(len(group[0].links))]
        for e in group[1:]:
            test = e.result.headline
            assert test is not None
            row += [f"{test.difference['aer']:+.2f}", p_value(test.p_value["aer"])]
        rows.append(row)
    return table(["test set", "pairs", "free - argmax", "p", "cc0 - argmax", "p"], rows)


def by_language(group: list[Evaluation], testset: ae.Corpus) -> str:
    languages = np.array([p.id.partition("/")[0] for p in testset.pairs])
    rows = []
    for code in sorted(set(languages)):
        own = languages == code
        sums = [e.result.counts[own].sum(axis=0)[None] for e in group]
        rows.append([code, str(int(own.sum())), *(f"{float(measures(s)['aer'][0]):.2f}" for s in sums)])
    mean = [np.mean([float(row[2 + k]) for row in rows]) for k in range(len(group))]
    rows.append(["mean of languages", "", *(f"{value:.2f}" for value in mean)])
    return table(["language", "pairs", "argmax", "refined (free)", "refined (cc0)"], rows)


def calibration(model: Any, out: Path) -> str:
    from matplotlib import pyplot

    aligner = make_aligner(AlignerSettings(model, ("refined",)))
    rows, curves = [], {}
    for name in (*PUBLISHED_SETS, *OWN):
        one = cells(aligner, ae.load_testset(name))
        steps = reliability([one])
        curves[name] = steps
        fixed = [precision_at(one, recall) for recall in (70, 80, 90)]
        rows.append(
            [name, f"{expected_calibration_error(steps):.3f}", *("-" if p != p else f"{p:.1f}" for p, _ in fixed)]
        )
        say(f"calibration of {name}")
    with settings():
        figure, axes = pyplot.subplots(figsize=(ONE_COLUMN, ONE_COLUMN), layout="constrained")
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
        for name, colour, mark in zip(PUBLISHED_SETS, PALETTE, "osD^v", strict=False):
            steps = curves[name]
            places = [row["probability"] for row in steps], [row["links"] for row in steps]
            axes.plot(*places, color=colour, marker=mark, markersize=3.5, linewidth=1, label=name)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of a link", ylabel="share that are links (gold)")
        axes.set_aspect("equal")
        axes.legend(frameon=False, loc="lower right")
        save(figure, out / "reliability.png")
        pyplot.close(figure)
    return table(["test set", "calibration error", "recall 70", "recall 80", "recall 90"], rows)


def curve(ablations: dict[str, Any], untuned: float, out: Path) -> str:
    from matplotlib import pyplot

    rows, drawn = [], {"curve": ([], [], []), "alone": ([], [], [])}
    sizes = sorted({int(name.split("-")[1]) for name in ablations if name.startswith("curve-")})
    for size in sizes:
        row = [str(size)]
        for kind in ("curve", "alone"):
            one = ablations.get(f"{kind}-{size}")
            if one is None:
                row += [f"{untuned:.2f} (argmax)"]
                continue
            low, high = one["interval"]
            row += [f"{one['aer']:.2f} ({low:.1f} - {high:.1f})"]
            for values, value in zip(drawn[kind], (size, one["aer"], (low, high)), strict=True):
                values.append(value)
        rows.append(row)
    with settings():
        figure, axes = pyplot.subplots(figsize=(ONE_COLUMN, 2.3), layout="constrained")
        axes.axhline(untuned, color="0.5", linewidth=0.8, linestyle="--", label="argmax, untrained")
        for (x, y, ends), colour, label in zip(
            drawn.values(), PALETTE, ("own pairs + Swedish", "Swedish alone"), strict=False
        ):
            low, high = np.array(ends).T
            places = [max(value, 8) for value in x]
            axes.errorbar(
                places, y, [np.array(y) - low, high - np.array(y)], color=colour, marker="o", markersize=3.5,
                linewidth=1, capsize=2, label=label,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks([8, 20, 50, 100, 300, 1000], ["0", "20", "50", "100", "300", "1000"])
        axes.minorticks_off()
        axes.set(xlabel="Swedish pairs with gold links", ylabel="AER, held-out Swedish")
        axes.legend(frameon=False)
        save(figure, out / "curve.png")
        pyplot.close(figure)
    return table(["Swedish pairs", "and 792 own pairs", "Swedish alone"], rows)


def dev_argmax(model: Any) -> dict[str, float]:
    """AER of argmax on each development corpus."""
    aligner = make_aligner(AlignerSettings(model))
    return {c.name: evaluate_testset(c, aligner, resamples=0)[0].score.aer for c in [*dev_corpora(), *held_parts()]}


def held_parts() -> list[ae.Corpus]:
    return [parts(corpus)[1] for corpus in own_corpora()]


def ablation_table(ablations: dict[str, Any]) -> str:
    rows = []
    for name, row in ablations.items():
        if name.startswith(("curve-", "alone-", "without-")):
            continue
        groups = [f"{row['groups'][g]:.2f}" for g in ablations["base"]["groups"]]
        weights = f"{row['weights'] / 1000:.0f} k"
        rows.append([name, weights, str(row["pairs"]), f"{row['aer']:.2f}", *groups, f"{row['ece']:.3f}"])
    return table(["run", "weights", "pairs", "mean AER", *ablations["base"]["groups"], "calibration error"], rows)


def without_table(ablations: dict[str, Any], argmax: dict[str, float]) -> str:
    rows = []
    for name, row in ablations.items():
        if name.startswith("without-"):
            code = name.removeprefix("without-")
            for corpus in row["corpora"]:
                if corpus.startswith((f"mini-en{code}-", f"xl-wa-{code}-")):
                    values = argmax[corpus], row["corpora"][corpus], ablations["base"]["corpora"][corpus]
                    rows.append([corpus, *(f"{value:.2f}" for value in values)])
    return table(["development data", "argmax", "trained without this language", "with it"], rows)


def lone_table(model: Any, gold: Path) -> str:
    """What the rules for lone marks do to three methods, on development data."""
    groups: dict[str, list[ae.Corpus]] = {"XL-WA dev": dev_corpora()}
    groups |= {c.name: [c] for c in own_corpora()}
    groups |= {c.name: [c] for c in free_corpora(gold) if c.target_language == "ja"}
    rows = []
    for name, corpora in groups.items():
        row = [name]
        for method in ("argmax", "itermax", "softmax"):
            for rule in ("keep", "cjk", "drop"):
                aligner = make_aligner(AlignerSettings(model, (method,), lone_marks=rule))
                found = [evaluate_testset(c, aligner, resamples=0)[0] for c in corpora]
                total = sum(e.result.counts.sum(axis=0) for e in found)
                row.append(f"{float(measures(total[None])['aer'][0]):.2f}")
        rows.append(row)
        say(f"lone marks: {name}")
    columns = [f"{method}, {rule}" for method in ("argmax", "itermax", "softmax") for rule in ("keep", "cjk", "drop")]
    return table(["development data", *columns], rows)


def errors_left(group: list[Evaluation], testset: ae.Corpus) -> str:
    out = []
    for e in group[:2]:
        parts_of = breakdown(testset.gold, e.links, testset.pairs, top=8)
        for one in breakdown_tables(e.system.method, parts_of):
            out += [f"{one.title}:", "", "\n".join(render_markdown(one)), ""]
    return "\n".join(out)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gold", type=Path, required=True, help="as of train.py, for the table of lone marks")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    ablations = json.loads((args.output / "ablations.json").read_text())
    model = load_model(MODEL)
    aligner = make_aligner(AlignerSettings(model, METHODS))
    unseen = unseen_english()
    sets = {name: ae.load_testset(name) for name in (*PUBLISHED_SETS, *OWN)} | {"xl-wa-unseen": unseen}
    found = {}
    for name, testset in sets.items():
        found[name] = evaluate_testset(testset, aligner)
        say(f"{name}: {[round(e.score.aer, 2) for e in found[name]]}")
    argmax = dev_argmax(model)
    swedish = next(parts(c)[1] for c in free_corpora(args.gold) if c.target_language == "sv")
    untuned = evaluate_testset(swedish, make_aligner(AlignerSettings(model)), resamples=0)[0].score.aer
    page = PAGE.format(
        main=main_table(found), tests=p_values(found), languages=by_language(found["xl-wa-unseen"], unseen),
        own=table(["test set", *NAMES.values()], [[n, *(interval(e) for e in found[n])] for n in OWN]),
        without=without_table(ablations, argmax), ablations=ablation_table(ablations),
        curve=curve(ablations, untuned, args.output), calibration=calibration(model, args.output),
        lone=lone_table(model, args.gold), errors=errors_left(found["deen-rwth"], sets["deen-rwth"]),
    )  # fmt: skip
    (args.output / "README.md").write_text(page, encoding="utf-8")
    systems = [e.to_json() for group in found.values() for e in group]
    write_json(args.output / "scores.json", {"environment": environment(), "systems": systems})


PAGE = (Path(__file__).parent / "page.md").read_text(encoding="utf-8")

if __name__ == "__main__":
    main()
