"""How cost grows: time against the number of pairs, and against the length of sentences, with fits and a figure.

    python experiments/bench/growth.py --out results/bench [--quick]

The real model aligns (``offline:e5-small``, argmax, its default layer), words in, links out.

- *pairs*: 100 to 3,200 distinct pairs of one length mix (every n-th of the pairs sorted by length);
- *length*: pairs of 5 to 120 words a side, cut from running text, so many of each length that all sets have about the
  same number of sub-words in total.

Each set is timed several times, in turns; points are medians. Fits are least squares: a line through time against
pairs, and through logarithms (slope 1: linear).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import Bar, Table, alternate, say
from fits import Fit, line_fit, power_fit
from streaming import MODEL
from texts import parallel_files, read_text

from align_eval import SentencePair

COUNTS = (100, 200, 400, 800, 1600, 3200)
WORDS = (5, 10, 20, 40, 60, 80, 100, 120)
SUBWORDS = 24_000
QUICK_COUNTS, QUICK_WORDS, QUICK_SUBWORDS = (10, 20, 40), (5, 10, 20), 400
# A mix of lengths for the one axis; running text for the other.
MIX, RUNNING = ("multi30k", "tatoeba", "wmt"), ("comtrans", "wmt")
POOL = 6_400
SEED = 12345
SLOPE_BAR, R2_BAR = 1.05, 0.99


@dataclass(frozen=True)
class Set:
    """Pairs that are timed together; ``x`` is their place on the axis, ``subwords`` those of both sides."""

    x: int
    pairs: list[SentencePair]
    subwords: int


def mix(counts: Sequence[int]) -> list[list[SentencePair]]:
    """For each of ``counts`` so many distinct pairs, all with the same mix of lengths."""
    chance = np.random.default_rng(SEED)
    texts: list[tuple[str, str]] = []
    for name in MIX if parallel_files(MIX) else ("",):
        texts += islice(read_text((name,) if name else ()), POOL)
    distinct = sorted(set(texts))
    chosen = [distinct[k] for k in chance.permutation(len(distinct))[: max(counts)]]
    chosen.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
    out = []
    for count in counts:
        at = (np.arange(count) + 0.5) * len(chosen) / count
        pairs = [_pair(k, *chosen[int(place)]) for k, place in enumerate(at)]
        chance.shuffle(pairs)  # type: ignore[arg-type]
        out.append(pairs)
    return out


def _pair(number: int, source: str, target: str) -> SentencePair:
    return SentencePair(str(number), tuple(source.split(" ")), tuple(target.split(" ")))


def cut(words: int) -> Iterator[SentencePair]:
    """Pairs of exactly ``words`` words a side, from running text; without end, but with repetition."""
    held: tuple[list[str], list[str]] = ([], [])
    number = 0
    while True:
        for pair in read_text(RUNNING if parallel_files(RUNNING) else ()):
            for side, text in zip(held, pair, strict=True):
                side.extend(text.split(" "))
            while min(map(len, held)) >= words:
                number += 1
                yield SentencePair(str(number), tuple(held[0][:words]), tuple(held[1][:words]))
                for side in held:
                    del side[:words]
            for side in held:  # one side must not run ahead of the other for ever
                del side[: max(0, len(side) - 4 * words)]


def subwords_of(encoder: Any, pairs: Sequence[SentencePair]) -> int:
    """Sub-words of both sides, special tokens left out."""
    return sum(len(ids) for ids in encoder.tokenize([side for p in pairs for side in (p.source, p.target)]).ids)


def by_count(encoder: Any, counts: Sequence[int]) -> list[Set]:
    return [Set(count, pairs, subwords_of(encoder, pairs)) for count, pairs in zip(counts, mix(counts), strict=True)]


def by_length(encoder: Any, lengths: Sequence[int], subwords: int) -> list[Set]:
    """Sets of about ``subwords`` sub-words, one for each length."""
    out = []
    for words in lengths:
        trial = list(islice(cut(words), 50))
        count = max(1, round(subwords * len(trial) / subwords_of(encoder, trial)))
        pairs = list(islice(cut(words), count))
        out.append(Set(words, pairs, subwords_of(encoder, pairs)))
    return out


def timed(aligner: Any, sets: Sequence[Set], repeats: int, warm: int) -> list[dict[str, Any]]:
    """Medians of each set: seconds, milliseconds a pair, microseconds a sub-word."""
    times = alternate({str(s.x): partial(aligner.align_all, s.pairs) for s in sets}, repeats, warm=warm)
    return [
        {
            "x": s.x, "pairs": len(s.pairs), "subwords": s.subwords, "seconds": times[str(s.x)].median,
            "spread": times[str(s.x)].spread, "pair_ms": 1e3 * times[str(s.x)].median / len(s.pairs),
            "subword_us": 1e6 * times[str(s.x)].median / s.subwords,
        }
        for s in sets
    ]  # fmt: skip


def fit_rows(counted: list[dict[str, Any]], lengths: list[dict[str, Any]]) -> dict[str, Fit]:
    """The fits, by what they say."""
    counts, seconds = [r["pairs"] for r in counted], [r["seconds"] for r in counted]
    words, each = [r["x"] for r in lengths], [r["pair_ms"] for r in lengths]
    return {
        "time against pairs, linear": line_fit(counts, seconds),
        "time against pairs, log-log": power_fit(counts, seconds),
        "time of a pair against words, log-log": power_fit(words, each),
        "time of a pair against words, linear": line_fit(words, each),
        "time of a sub-word against words, log-log": power_fit(words, [r["subword_us"] for r in lengths]),
    }


def draw(counted: list[dict[str, Any]], lengths: list[dict[str, Any]], fits: dict[str, Fit], out: Path) -> None:
    """Three panels: seconds against pairs, milliseconds a pair and microseconds a sub-word against words."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator

    from align_eval import save_figure

    def line(axes: Any, fit: Fit, x: Sequence[float]) -> None:
        ends = np.geomspace(min(x), max(x), 50)
        axes.plot(ends, np.exp(fit.intercept) * ends**fit.slope, color="#595959", linewidth=0.8, zorder=1)

    with rc_context({"font.size": 8, "axes.titlesize": 8, "axes.linewidth": 0.6}):
        figure = Figure(figsize=(6.9, 2.2), layout="constrained")
        panels = figure.subplots(1, 3)
        panel = (
            ("pairs", "seconds", counted, "pairs", "seconds", "time against pairs, log-log"),
            ("words a side", "ms a pair", lengths, "x", "pair_ms", "time of a pair against words, log-log"),
            ("words a side", "µs a sub-word", lengths, "x", "subword_us",
             "time of a sub-word against words, log-log"),
        )  # fmt: skip
        for axes, (x_label, y_label, rows, x, y, name) in zip(panels, panel, strict=True):
            places, values, fit = [r[x] for r in rows], [r[y] for r in rows], fits[name]
            axes.set_xscale("log")
            line(axes, fit, places)
            axes.plot(places, values, "o", color="#0072B2", markersize=3.5, zorder=2)
            if y == "subword_us":
                axes.set_ylim(0, 1.25 * max(values))
            else:
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axes.set_xticks(places, _labels(places), rotation=45, ha="right")
            axes.minorticks_off()
            axes.set_xlabel(x_label)
            axes.set_ylabel(y_label)
            axes.set_title(f"slope {fit.slope:.2f} ± {fit.error:.2f}\nR² {fit.r2:.3f}")
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(length=2)
        for ending in ("svg", "png"):
            save_figure(figure, out / f"growth.{ending}")


def _labels(places: Sequence[int]) -> list[str]:
    """The places as text; those that would stand too close to a greater one on a logarithmic axis are empty."""
    out: list[str] = []
    last = float("inf")
    for place in sorted(places, reverse=True):
        shown = last / place >= 1.4
        out.append(f"{place:,}" if shown else "")
        last = place if shown else last
    return out[::-1]


def main() -> None:
    options = common.parse(common.parser(__doc__, repeats=3))
    machine = common.hardware(options.threads)
    import torch

    from align_eval.aligners import AlignerSettings, make_aligner

    torch.set_num_threads(options.threads)
    say(f"loading {MODEL}")
    aligner: Any = make_aligner(AlignerSettings(MODEL))
    counts, words = (QUICK_COUNTS, QUICK_WORDS) if options.quick else (COUNTS, WORDS)
    counted_sets = by_count(aligner.encoder, counts)
    length_sets = by_length(aligner.encoder, words, QUICK_SUBWORDS if options.quick else SUBWORDS)
    aligner.align_all(counted_sets[0].pairs)  # warm: every set has the same code
    say("time against the number of pairs")
    counted = timed(aligner, counted_sets, options.repeats, 0)
    say("time against the length of sentences")
    lengths = timed(aligner, length_sets, options.repeats, 0)
    fits = fit_rows(counted, lengths)
    draw(counted, lengths, fits, options.out)
    linear, power = fits["time against pairs, linear"], fits["time against pairs, log-log"]
    bars = [
        Bar("time against pairs: slope in logarithms", power.slope, SLOPE_BAR, least=False),
        Bar("time against pairs: R² of a line", linear.r2, R2_BAR),
    ]
    shared = {"pairs": "pairs", "subwords": "sub-words", "seconds": "seconds", "spread": "spread",
              "pair_ms": "ms a pair", "subword_us": "µs a sub-word"}  # fmt: skip
    tables = [
        Table(shared, counted, "Number of pairs"),
        Table({"x": "words a side", **shared}, lengths, "Length of sentences"),
        Table({"fit": "fit", "slope": "slope", "error": "standard error", "r2": "R²"},
              [{"fit": name, "slope": fit.slope, "error": fit.error, "r2": fit.r2} for name, fit in fits.items()],
              "Fits"),
    ]  # fmt: skip
    notes = [
        "![Time against pairs and against length](growth.svg)\n",
        f"One pair more takes {1e3 * linear.slope:.3g} ms. A slope of 1 in logarithms is linear growth. Attention "
        "and soft maps grow with the square of the length; the slope of the time of a sub-word against words says how "
        "much of that is felt.",
    ]
    settings = {"model": MODEL, "method": "argmax", "repeats": options.repeats, "texts": {"pairs": MIX,
                "length": RUNNING}, "seed": SEED, "subwords": SUBWORDS}  # fmt: skip
    common.write_part(
        options.out, "growth", "How cost grows", tables, bars, settings=settings, notes=notes, machine=machine,
        quick=options.quick,
    )  # fmt: skip


if __name__ == "__main__":
    main()
