"""How often intervals hold the true value, and how often paired tests reject a true hypothesis: ``results/coverage``.

Counts of real sentence pairs (links of ``offline:e5-small`` against published gold) are taken as populations: their
corpus scores are the true values. Corpora of 25, 100 and 400 sentence pairs are drawn from each, with replacement, and
each gets its intervals. For the tests, the links of two methods change places in each sentence pair with probability
1/2, so that there is no difference between the two systems; a test at 5 % should reject that in 5 % of the corpora.

    python experiments/coverage.py            # into results/coverage; needs the gold sets (ALIGN_EVAL_DATA)
    python experiments/coverage.py --quick    # few corpora, into build/coverage
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import align_eval as ae
from align_eval.scoring.measures import counts, fractions
from align_eval.scoring.paired import paired_tests
from align_eval.statistics import percentile_interval, studentise

ROOT = Path(__file__).resolve().parent.parent
# Intervals are made of the links of the first method; the tests compare it with the second.
POPULATIONS = {
    "deen-rwth": ("argmax", "forward"),
    "enfr-wpt": ("argmax", "forward"),
    "jaen-kftt": ("argmax", "forward"),
    "roen-wpt": ("softmax", "forward"),
    "zhen-tsinghua": ("argmax", "forward"),
}
SIZES = (25, 100, 400)
SHOWN = ("aer", "precision", "recall", "f1")
RESAMPLES = 1000
LEVEL = 0.95

Counts = NDArray[np.int64]


def populations() -> dict[str, tuple[Counts, Counts]]:
    """The counts of both methods on each set, ``(sentence pairs, 4)``; kept in ``build/coverage`` for the next run."""
    kept = ROOT / "build" / "coverage" / "populations.npz"
    if kept.exists():
        with np.load(kept) as found:
            return {
                name: tuple(found[f"{name} {method}"] for method in methods) for name, methods in POPULATIONS.items()
            }
    model = ae.load_model("offline:e5-small")
    out = {}
    for name, methods in POPULATIONS.items():
        testset = ae.load_testset(name)
        rows = [counts(testset.gold, ae.align(testset, model, method=method)).astype(np.int64) for method in methods]
        out[name] = rows[0], rows[1]
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez(kept, **{f"{name} {one}": out[name][k] for name, two in POPULATIONS.items() for k, one in enumerate(two)})
    return out


def held(rows: Counts, size: int, corpora: int, resamples: int) -> dict[tuple[str, str], tuple[float, float]]:
    """For each kind of interval and measure: in what share of corpora it holds the true value, and its mean width."""
    true = {name: float(value) for name, value in fractions(rows.sum(axis=0)).items()}
    draw = np.random.default_rng(size)
    hits: dict[tuple[str, str], list[bool]] = {}
    widths: dict[tuple[str, str], list[float]] = {}
    for corpus in range(corpora):
        drawn = rows[draw.integers(len(rows), size=size)]
        for name, found in studentise(drawn, fractions, resamples, corpus).items():
            ends = {"percentile": percentile_interval(found.sample, LEVEL), "studentised": found.interval(LEVEL)}
            for kind, (low, high) in ends.items():
                hits.setdefault((kind, name), []).append(low - 1e-12 <= true[name] <= high + 1e-12)
                widths.setdefault((kind, name), []).append(100 * (high - low))
    return {key: (100 * float(np.mean(hits[key])), float(np.mean(widths[key]))) for key in hits}


def rejected(first: Counts, other: Counts, size: int, corpora: int, resamples: int) -> dict[tuple[str, str], float]:
    """For each test and measure: in what share of corpora it rejects, at 5 %, that two equal systems are equal.

    *Bootstrap without standard errors* is that of Koehn (2004): the differences of resamples, shifted to a mean of 0.
    """
    draw = np.random.default_rng(size)
    found: dict[tuple[str, str], list[bool]] = {}
    for corpus in range(corpora):
        chosen, swap = draw.integers(len(first), size=size), draw.random((size, 1)) < 0.5
        one = np.where(swap, other[chosen], first[chosen])
        two = np.where(swap, first[chosen], other[chosen])
        for name, made in studentise(
            np.concatenate([one, two], axis=1), _differences, resamples, corpus, ratios=False
        ).items():
            shifted = int((np.abs(made.sample - made.sample.mean()) >= abs(made.value) - 1e-12).sum())
            koehn = (shifted + 1) / (len(made.sample) + 1)
            found.setdefault(("bootstrap without standard errors", name), []).append(koehn <= 0.05)
            found.setdefault(("bootstrap", name), []).append(made.p_value() <= 0.05)
        swapped = paired_tests(one, two, tests=["randomisation"], resamples=resamples, seed=corpus)["randomisation"]
        for name in SHOWN:
            p_value = swapped.p_value[name]
            found.setdefault(("randomisation", name), []).append(p_value is not None and p_value <= 0.05)
    return {key: 100 * float(np.mean(values)) for key, values in found.items()}


def _differences(sums: Any) -> dict[str, Any]:
    """The second system's measures minus the first's, from sums ``(..., 8)``."""
    a, b = fractions(sums[..., :4]), fractions(sums[..., 4:])
    return {name: b[name] - a[name] for name in SHOWN}


def main() -> int:
    """Simulate and write ``coverage.md``."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="20 corpora a size, 100 resamples")
    options.add_argument("--corpora", type=int, default=1000, help="corpora a size; half as many for the tests")
    asked = options.parse_args()
    corpora, resamples = (20, 100) if asked.quick else (asked.corpora, RESAMPLES)
    tested = max(corpora // 2, 1)
    folder = ROOT / ("build/coverage" if asked.quick else "results/coverage")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Coverage of intervals, size of paired tests",
        "",
        f"Made by `python experiments/coverage.py --corpora {corpora}`: {corpora:,} corpora of each size from each "
        f"population, {resamples:,} resamples each. The standard error of a share of 95 % in {corpora:,} corpora is "
        f"{100 * (0.95 * 0.05 / corpora) ** 0.5:.2g} points. Tests are made on {tested:,} corpora of each size.",
        "",
        "## Intervals at 95 %: in how many corpora they hold the true value (mean width in points)",
        "",
        "| population | sentence pairs | interval | " + " | ".join(SHOWN) + " |",
        "|---|---|---|" + "---|" * len(SHOWN),
    ]
    made = populations()
    means: dict[tuple[str, int], list[float]] = {}
    for name, (first, _) in made.items():
        for size in SIZES:
            found = held(first, size, corpora, resamples)
            for kind in ("percentile", "studentised"):
                cells = [f"{found[kind, measure][0]:.1f} % ({found[kind, measure][1]:.1f})" for measure in SHOWN]
                lines.append(f"| {name}, {POPULATIONS[name][0]} | {size} | {kind} | " + " | ".join(cells) + " |")
                means.setdefault((kind, size), []).append(found[kind, "aer"][0])
    lines += ["", "Mean over the populations, AER:", "", "| interval | " + " | ".join(map(str, SIZES)) + " |"]
    lines.append("|---|" + "---|" * len(SIZES))
    for kind in ("percentile", "studentised"):
        lines.append(f"| {kind} | " + " | ".join(f"{np.mean(means[kind, size]):.1f} %" for size in SIZES) + " |")
    lines += [
        "",
        "## Tests at 5 %: in how many corpora they reject that two equal systems are equal",
        "",
        "| population | sentence pairs | test | " + " | ".join(SHOWN) + " |",
        "|---|---|---|" + "---|" * len(SHOWN),
    ]
    for name, (first, other) in made.items():
        for size in SIZES:
            rates = rejected(first, other, size, tested, resamples)
            for test in ("bootstrap without standard errors", "bootstrap", "randomisation"):
                cells = [f"{rates[test, measure]:.1f} %" for measure in SHOWN]
                lines.append(
                    f"| {name}, {' and '.join(POPULATIONS[name])} | {size} | {test} | " + " | ".join(cells) + " |"
                )
    (folder / "coverage.md").write_text("\n".join(lines) + "\n", "utf-8")
    sys.stdout.write(f"{folder / 'coverage.md'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
