"""Score the detector of mask kinds on generated patterns with noise; write ``results/pattern/detector.*``.

    python experiments/pattern_detector.py [--repeats 20] [--seed 12345] [--output FOLDER]

Each pattern is a mask of random parameters (:func:`draw`), its cells flipped at a known rate; kinds with two
directions take turns. Written are ``detector.tsv`` (right and all, by place of the noise, length, rate and kind),
``detector.json`` (the same with confusions) and ``detector.md`` (tables for people). Seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from align_eval import __version__
from align_eval.patterns import MASK_KINDS, KindFit, Mask, MaskKind, detect, flipped

RATES = (0.0, 0.05, 0.1, 0.15, 0.2)
SCORES: dict[str, Callable[[KindFit], float]] = {
    "description length": lambda fit: fit.bits,
    "agreement": lambda fit: -fit.agreement,
    "Jaccard": lambda fit: -fit.jaccard,
    "balanced accuracy": lambda fit: -fit.balanced,
}
PLACES = {
    "seen": "the cells that the mask's direction can see (on and under the diagonal of a causal one)",
    "all": "all cells of the square, so that a causal mask does not show by its empty upper half",
}


# Of the parameters of simple kinds the least value, and the divisor of n that gives the greatest.
DRAWN = {
    "sliding-window": {"width": (2, 2)}, "strided": {"stride": (3, 3)}, "block": {"size": (3, 2)},
    "sink-window": {"sinks": (1, 8), "window": (2, 4)}, "global-window": {"tokens": (1, 8), "window": (2, 4)},
}  # fmt: skip


def draw(kind: MaskKind, rng: np.random.Generator, n: int, causal: bool) -> Mask:
    """A random mask of a kind, of parameters under which it is no other kind; n is 16 or more."""
    ranges = DRAWN.get(kind.name, {})
    drawn: dict[str, Any] = {name: int(rng.integers(low, n // part + 1)) for name, (low, part) in ranges.items()}
    if kind.name in DRAWERS:
        drawn = DRAWERS[kind.name](rng, n)
    return kind.mask(drawn | ({"causal": causal} if "causal" in kind.options else {}))


def _prefix(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {"length": int(rng.integers(n // 4, 3 * n // 4 + 1))}


def _dilated(rng: np.random.Generator, n: int) -> dict[str, Any]:
    dilation = int(rng.integers(2, max(3, n // 8) + 1))
    return {"dilation": dilation, "width": int(rng.integers(3, n // dilation + 1))}


def _fixed(rng: np.random.Generator, n: int) -> dict[str, Any]:
    size = int(rng.integers(4, n // 2 + 1))
    return {"size": size, "summary": int(rng.integers(1, max(1, size // 4) + 1))}


def _masked_rows(rng: np.random.Generator, n: int) -> dict[str, Any]:
    keep = int(rng.integers(0, 3))
    if rng.random() < 0.5:
        rows = rng.choice(np.arange(n // 4, n), size=max(3, n // 10), replace=False)
        return {"rows": tuple(sorted(rows.tolist())), "keep": keep}
    period = int(rng.integers(3, n // 4 + 1))
    return {"period": period, "offset": int(rng.integers(-1, period - 1)), "keep": keep}


def _segments(rng: np.random.Generator, n: int) -> dict[str, Any]:
    count = int(rng.integers(2, max(3, min(6, n // 8)) + 1))
    while True:
        starts = np.sort(rng.choice(np.arange(2, n - 1), size=count - 1, replace=False))
        lengths = np.diff([0, *starts, n])
        if lengths.min() > 1 and (np.ptp(lengths[:-1]) or lengths[-1] > lengths[0]):  # not blocks of one size
            return {"starts": tuple(starts.tolist())}


def _vertical_slash(rng: np.random.Generator, n: int) -> dict[str, Any]:
    lines = np.arange(2, n // 2)
    columns = rng.choice(lines, size=int(rng.integers(1, 5)), replace=False)
    slashes = rng.choice(lines, size=int(rng.integers(1, 5)), replace=False)
    return {"columns": tuple(sorted(columns.tolist())), "slashes": (0, *sorted(slashes.tolist()))}


def _tree(rng: np.random.Generator, n: int) -> dict[str, Any]:
    drafts = int(rng.integers(n // 2, n + 1))
    if rng.random() < 0.5:
        return {"parents": (-1, -1, *(int(rng.integers(-1, node)) for node in range(2, drafts)))}
    branching = (int(rng.integers(2, 5)), *(int(b) for b in rng.integers(1, 4, size=3)))
    return {"drafts": drafts, "branching": branching, "order": ("breadth", "depth")[int(rng.integers(2))]}


DRAWERS: dict[str, Callable[[np.random.Generator, int], dict[str, Any]]] = {
    "prefix": _prefix, "dilated": _dilated, "fixed": _fixed, "masked-rows": _masked_rows, "segments": _segments,
    "vertical-slash": _vertical_slash, "tree": _tree,
}  # fmt: skip


def measure(lengths: dict[int, int], seed: int) -> list[dict[str, Any]]:
    """One row a place, length, rate and kind: patterns, those named right by each score, masks found to the cell."""
    rows = []
    for place in PLACES:
        for n, repeats in lengths.items():
            if place == "all" and n != 64:
                continue
            for rate in RATES:
                for number, (name, kind) in enumerate(MASK_KINDS.items()):
                    rng = np.random.default_rng([seed, len(place), n, int(1000 * rate), number])
                    right: Counter[str] = Counter()
                    named: Counter[str] = Counter()
                    forms: dict[str, list[int]] = {}
                    exact = 0
                    for turn in range(repeats):
                        causal = kind.directions[turn % len(kind.directions)]
                        drawn = draw(kind, rng, n, causal)
                        truth = drawn(n)
                        found = detect(flipped(truth, rate, rng, causal=causal and place == "seen"))
                        named[found.best.name] += 1
                        form = forms.setdefault(form_of(drawn), [0, 0])
                        form[0] += found.best.name == name
                        form[1] += 1
                        exact += bool(np.array_equal(found.best.kind(n), truth))
                        for score, value in SCORES.items():
                            best = min(found.fits, key=lambda fit: (value(fit), fit.parameter_bits))
                            right[score] += best.name == name
                    rows.append({
                        "noise": place, "n": n, "rate": rate, "kind": name, "patterns": repeats, "exact": exact,
                        "forms": forms, "right": {score: right[score] for score in SCORES},
                        "named": dict(named.most_common()),
                    })  # fmt: skip
                sys.stderr.write(f"{place} n={n} rate={rate}\n")
    return rows


def form_of(kind: Mask) -> str:
    """The kind, and whether its tree or rows are listed one by one instead of following a rule."""
    for part in ("parents", "rows"):
        if part in kind.parameters:
            return f"{kind.name}, {'any ' if kind.parameters[part] else 'regular '}{part}"
    return kind.name


def share(rows: list[dict[str, Any]], score: str = "description length") -> str:
    """The share of patterns that a score names right, in percent."""
    total = sum(row["patterns"] for row in rows)
    return f"{100 * sum(row['right'][score] for row in rows) / total:.1f}" if total else ""


def table(head: list[str], body: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def report(rows: list[dict[str, Any]], repeats: int, seed: int) -> str:
    """The tables as Markdown."""
    seen = [row for row in rows if row["noise"] == "seen"]
    lengths = sorted({row["n"] for row in seen})
    kinds = sorted({row["kind"] for row in rows})
    patterns = sum(row["patterns"] for row in rows)
    lines = [
        "# The detector of mask kinds on generated patterns", "",
        f"{patterns:,} patterns of random parameters, {len(kinds)} kinds, so that a guess is right in "
        f"{100 / len(kinds):.1f} % of them. Each cell is flipped with the rate given. Made by", "",
        f"    python experiments/pattern_detector.py --repeats {repeats} --seed {seed}", "",
        f"with align-eval {__version__}. Percent of patterns whose kind is named right. The flips "
        "are independent, as the score supposes; what real attention leaves unexplained is not, so read these numbers "
        "as the detector's reach. Parameters are drawn so that a mask is not another kind's too.", "",
        "## By noise and length", "", f"Noise on {PLACES['seen']}.", "",
    ]  # fmt: skip
    body = []
    for n in lengths:
        of_n = [row for row in seen if row["n"] == n]
        count = sum(row["patterns"] for row in of_n if row["rate"] == 0)
        cells = [share([row for row in of_n if row["rate"] == rate]) for rate in RATES]
        body.append([str(n), str(count), *cells])
    everywhere = [row for row in rows if row["noise"] == "all"]
    cells = [share([row for row in everywhere if row["rate"] == rate]) for rate in RATES]
    count = sum(row["patterns"] for row in everywhere if row["rate"] == 0)
    body.append(["64, noise everywhere", str(count), *cells])
    lines += table(["n", "patterns a rate", *(f"flip rate {rate:g}" for rate in RATES)], body)
    lines += [f'"Everywhere" is noise on {PLACES["all"]}.', "", "## By kind, all lengths", ""]
    body = []
    for form in sorted({form for row in seen for form in row["forms"]}):
        cells = []
        for rate in RATES:
            counts = [row["forms"][form] for row in seen if row["rate"] == rate and form in row["forms"]]
            cells.append(f"{100 * sum(c[0] for c in counts) / max(1, sum(c[1] for c in counts)):.1f}")
        body.append([form, *cells])
    lines += table(["kind", *(f"{rate:g}" for rate in RATES)], body)
    lines += ["## By score, all lengths", "", "The same fits, named by other scores; ties go to fewer parameters.", ""]
    body = [
        [score, *(share([row for row in seen if row["rate"] == rate], score) for rate in RATES)] for score in SCORES
    ]
    lines += table(["score", *(f"{rate:g}" for rate in RATES)], body)
    exact = [
        f"{100 * sum(r['exact'] for r in of) / sum(r['patterns'] for r in of):.1f}"
        for rate in RATES
        for of in [[row for row in seen if row["rate"] == rate]]
    ]
    lines += ["## Masks found to the last cell, all lengths", ""]
    lines += table(["", *(f"{rate:g}" for rate in RATES)], [["whole mask right", *exact]])
    lines += ["## Confusions at the flip rate 0.1, n = 64", "", "Rows: true kind. Columns: named. Empty: none.", ""]
    at = [row for row in seen if row["rate"] == 0.1 and row["n"] == 64]
    body = [[row["kind"], *(str(row["named"].get(kind, "")) for kind in kinds)] for row in at]
    lines += table(["", *kinds], body)
    lines += ["## Confusions at all rates and lengths", ""]
    body = []
    for kind in kinds:
        named: Counter[str] = Counter()
        for row in seen:
            if row["kind"] == kind:
                named.update(row["named"])
        body.append([kind, *(str(named.get(other, "")) for other in kinds)])
    return "\n".join(lines + table(["", *kinds], body)).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", default="results/pattern", metavar="FOLDER")
    parser.add_argument("--repeats", type=int, default=20, help="patterns of a kind, length and rate; fewer at 256")
    parser.add_argument("--seed", type=int, default=12345)
    given = parser.parse_args()
    lengths = {16: given.repeats, 32: given.repeats, 64: given.repeats, 128: given.repeats, 256: -(-given.repeats // 5)}
    rows = measure(lengths, given.seed)
    folder = Path(given.output)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    content = f'{{"version": "{__version__}", "seed": {given.seed}, "rows": [\n{lines}\n]}}\n'
    (folder / "detector.json").write_text(content, "utf-8")
    with (folder / "detector.tsv").open("w", encoding="utf-8") as stream:
        stream.write("\t".join(["noise", "n", "rate", "kind", "patterns", "right", "exact"]) + "\n")
        for row in rows:
            cells = [row["noise"], row["n"], row["rate"], row["kind"], row["patterns"]]
            stream.write("\t".join(map(str, [*cells, row["right"]["description length"], row["exact"]])) + "\n")
    (folder / "detector.md").write_text(report(rows, given.repeats, given.seed), "utf-8")


if __name__ == "__main__":
    main()
