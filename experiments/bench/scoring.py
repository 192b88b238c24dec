"""Scoring against NLTK's per-sentence loop and a scorer of plain Python sets, and a million sentence pairs.

    python experiments/bench/scoring.py --out results/bench [--quick]

The gold is that of published test sets, repeated; the hypothesis is the same links with one in five moved and one in
ten left out. Two forms are timed, each with the numbers checked to be the same:

- *files*: from files of links (Pharaoh, TALP) to numbers. NLTK reads links without marks only, so it gets S and P in a
  file each.
- *memory*: from what each system holds in memory: a ``LinkTable``, ``nltk.translate.Alignment`` objects, Python sets.

NLTK gives the AER of each sentence, the plain scorer that of the corpus; align-eval gives both every time.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import Bar, Table, alternate, say

SETS = ("deen-rwth", "roen-wpt", "enfr-wpt", "zhen-tsinghua")
PAIRS, MILLION = 100_000, 1_000_000
NLTK_BAR, PLAIN_BAR, MILLION_SECONDS = 50, 20, 5.0
RESAMPLES, SEED = 1000, 12345
VARIANTS = 4  # hypotheses of each sentence, before they repeat

Cells = set[tuple[int, int]]


@dataclass(frozen=True)
class Material:
    """Files of gold and hypothesis, all of the same number of lines."""

    folder: Path

    @property
    def gold(self) -> Path:
        """S and P in one file: ``i-j`` and ``ipj``."""
        return self.folder / "gold.talp"

    @property
    def sure(self) -> Path:
        return self.folder / "gold.sure"

    @property
    def possible(self) -> Path:
        return self.folder / "gold.possible"

    @property
    def links(self) -> Path:
        return self.folder / "links.pharaoh"


def lines_of_sets() -> tuple[list[tuple[str, str, str, str]], list[str]]:
    """Distinct lines (gold, S, P, hypothesis) from the gold of the sets at hand, and the names of the sets."""
    from align_eval import AlignEvalError, load_testset

    chance = np.random.default_rng(SEED)
    rows, names = [], []
    for name in SETS:
        try:
            gold = load_testset(name).gold
        except AlignEvalError as error:
            say(f"{name} is left out: {error}")
            continue
        names.append(name)
        for k in range(len(gold)):
            links = gold.gold(k)
            sure, possible = sorted(links.sure), sorted(links.possible)
            if not sure:
                continue  # NLTK divides by |A| + |S|
            marked = " ".join(f"{i}-{j}" if (i, j) in set(sure) else f"{i}p{j}" for i, j in possible)
            for _ in range(VARIANTS):
                rows.append((marked, _text(sure), _text(possible), _text(_perturbed(possible, chance))))
    order = chance.permutation(len(rows))
    return [rows[k] for k in order], names


def _perturbed(links: list[tuple[int, int]], chance: np.random.Generator) -> list[tuple[int, int]]:
    """The links with one in five moved by up to two words and one in ten left out; at least one stays."""
    moved = chance.integers(-2, 3, len(links)) * (chance.random(len(links)) < 0.2)
    kept = chance.random(len(links)) >= 0.1
    out = {(i, max(0, j + int(by))) for (i, j), by, keep in zip(links, moved, kept, strict=True) if keep}
    return sorted(out) or links[:1]


def _text(links: list[tuple[int, int]]) -> str:
    return " ".join(f"{i}-{j}" for i, j in links)


def write(folder: Path, rows: list[tuple[str, str, str, str]], pairs: int) -> Material:
    """Write ``pairs`` lines into each of the four files, repeating ``rows``."""
    material = Material(folder)
    for column, path in enumerate((material.gold, material.sure, material.possible, material.links)):
        with open(path, "w", encoding="utf-8") as stream:
            stream.writelines(row[column] + "\n" for row in islice(cycle(rows), pairs))
    return material


# From files to numbers.


def ours_files(material: Material, resamples: int = 0) -> tuple[np.ndarray, float]:
    """AER of each sentence pair and of the corpus, in percent."""
    from align_eval.scoring.measures import measures
    from align_eval.scoring.systems import ReadOptions, score_files

    based = ReadOptions(base=0)
    (system,) = score_files(
        str(material.gold), [str(material.links)], gold_options=based, hypothesis_options=based, resamples=resamples
    )
    return measures(system.counts)["aer"], system.score.aer


def nltk_files(material: Material) -> list[float]:
    """AER of each sentence pair, as a fraction."""
    from nltk.translate import Alignment, alignment_error_rate

    read = Alignment.fromstring
    with open(material.sure) as sure, open(material.possible) as possible, open(material.links) as links:
        return [alignment_error_rate(read(s), read(a), read(p)) for s, p, a in zip(sure, possible, links, strict=True)]


def plain_files(material: Material) -> float:
    """AER of the corpus, as a fraction: what a scorer of a few lines of Python does."""
    sums = [0, 0, 0, 0]
    with open(material.gold) as gold, open(material.links) as links:
        for gold_line, line in zip(gold, links, strict=True):
            sure, possible = _gold_sets(gold_line)
            _add(sums, {_pair(word, "-") for word in line.split()}, sure, possible)
    return _aer(sums)


def _gold_sets(line: str) -> tuple[Cells, Cells]:
    sure: Cells = set()
    possible: Cells = set()
    for word in line.split():
        if "-" in word:
            link = _pair(word, "-")
            sure.add(link)
            possible.add(link)
        else:
            possible.add(_pair(word, "p"))
    return sure, possible


def _pair(word: str, mark: str) -> tuple[int, int]:
    i, j = word.split(mark)
    return int(i), int(j)


def _add(sums: list[int], links: Cells, sure: Cells, possible: Cells) -> None:
    sums[0] += len(links)
    sums[1] += len(sure)
    sums[2] += len(links & sure)
    sums[3] += len(links & possible)


def _aer(sums: list[int]) -> float:
    a, s, a_s, a_p = sums
    return 1 - (a_s + a_p) / (a + s)


# From memory to numbers.


def memory_systems(material: Material) -> dict[str, Callable[[], Any]]:
    """The three scorers, each on its own objects."""
    from nltk.translate import Alignment, alignment_error_rate

    from align_eval import read_links
    from align_eval.scoring.measures import counts, measures

    gold, links = read_links(material.gold, base=0), read_links(material.links, base=0)
    read = Alignment.fromstring
    with open(material.sure) as sure, open(material.possible) as possible, open(material.links) as lines:
        triples = [(read(s), read(a), read(p)) for s, p, a in zip(sure, possible, lines, strict=True)]
    sets = [(set(s), set(a), set(p)) for s, a, p in triples]

    def ours() -> tuple[np.ndarray, float]:
        rows = counts(gold, links)
        return measures(rows)["aer"], float(measures(rows.sum(axis=0))["aer"])

    def nltk() -> list[float]:
        return [alignment_error_rate(s, a, p) for s, a, p in triples]

    def plain() -> float:
        sums = [0, 0, 0, 0]
        for s, a, p in sets:
            _add(sums, a, s, p)
        return _aer(sums)

    return {"align-eval": ours, "NLTK": nltk, "plain sets": plain}


def check(found: dict[str, Any], form: str) -> None:
    """Stop if the three do not give the same numbers."""
    each, corpus = found["align-eval"]
    worst = float(np.abs(each - 100 * np.array(found["NLTK"])).max())
    apart = abs(corpus - 100 * found["plain sets"])
    if worst > 1e-9 or apart > 1e-9:
        raise SystemExit(f"{form}: AERs differ, by {worst} of a sentence pair and {apart} of the corpus")
    say(f"{form}: same AER of each sentence pair as NLTK (within {worst:.1e}), same of the corpus as the plain scorer")


def compare(material: Material, pairs: int, repeats: int) -> tuple[list[dict[str, Any]], list[Bar]]:
    """Rows and bars of both forms."""
    forms: dict[str, dict[str, Callable[[], Any]]] = {
        "files": {
            "align-eval": lambda: ours_files(material),
            "NLTK": lambda: nltk_files(material),
            "plain sets": lambda: plain_files(material),
        },
        "memory": memory_systems(material),
    }
    gc.collect()
    gc.freeze()  # what is held in memory costs none of the three a collection
    rows, bars = [], []
    for form, systems in forms.items():
        say(f"from {form}: {pairs:,} sentence pairs")
        check({name: run() for name, run in systems.items()}, form)
        times = alternate(systems, repeats, warm=0)
        ours = times["align-eval"].median
        for name, timing in times.items():
            rows.append({
                "form": form, "system": name, "pairs": pairs, "seconds": timing.median, "spread": timing.spread,
                "rate": pairs / timing.median, "ratio": timing.median / ours,
            })  # fmt: skip
        for name, bar in (("NLTK", NLTK_BAR), ("plain sets", PLAIN_BAR)):
            label = f"scoring {pairs:,} pairs from {form}, times the rate of {name}"
            bars.append(Bar(label, times[name].median / ours, bar, unit="x"))
    gc.unfreeze()
    return rows, bars


def million(folder: Path, rows: list[tuple[str, str, str, str]], sizes: tuple[int, int]) -> list[dict[str, Any]]:
    """The command ``align-eval score`` on files of two sizes: seconds and peak memory of the process."""
    out = []
    for pairs in sizes:
        say(f"writing {pairs:,} sentence pairs")
        material = write(folder, rows, pairs)
        size = (os.path.getsize(material.gold) + os.path.getsize(material.links)) / 2**20
        for resamples in (0, RESAMPLES):
            done = common.child([
                sys.executable, "-c", "from align_eval.cli import main; main()", "score", material.gold,
                material.links, "--gold-base", "0", "--hyp-base", "0", "--resamples", str(resamples),
            ])  # fmt: skip
            say(f"  align-eval score --resamples {resamples}: {done.seconds:.2f} s, {done.peak_mb:.0f} MB")
            out.append({
                "pairs": pairs, "resamples": resamples, "seconds": done.seconds, "rate": pairs / done.seconds,
                "peak_mb": done.peak_mb, "files_mb": size,
            })  # fmt: skip
    return out


def bootstrap(folder: Path, rows: list[tuple[str, str, str, str]], sizes: list[int]) -> list[dict[str, Any]]:
    """Time of 1000 bootstrap resamples as matrix products, and of the same one at a time."""
    from align_eval import read_links
    from align_eval.scoring.measures import counts
    from align_eval.statistics import bootstrap_sums

    material = write(folder, rows, max(sizes))
    every = counts(read_links(material.gold, base=0), read_links(material.links, base=0))
    out = []
    for pairs in sizes:
        chosen = every[:pairs]
        times = []
        for _ in range(3):
            start = time.perf_counter()
            bootstrap_sums(chosen, RESAMPLES, SEED)
            times.append(time.perf_counter() - start)
        chance = np.random.default_rng(SEED)
        single = max(3, min(RESAMPLES, 1_000_000 // pairs))
        start = time.perf_counter()
        for _ in range(single):
            chosen[chance.integers(pairs, size=pairs)].sum(axis=0)
        each = (time.perf_counter() - start) * RESAMPLES / single
        seconds = statistics.median(times)
        say(f"bootstrap of {pairs:,} pairs: {seconds:.3f} s, one resample at a time {each:.3f} s (from {single})")
        out.append({
            "pairs": pairs, "resamples": RESAMPLES, "seconds": seconds, "singly": each, "ratio": each / seconds,
        })  # fmt: skip
    return out


def main() -> None:
    options = common.parse(common.parser(__doc__, repeats=3))
    machine = common.hardware()
    pairs, many = (2_000, 20_000) if options.quick else (PAIRS, MILLION)
    rows, names = lines_of_sets()
    say(f"{len(rows):,} distinct lines from {', '.join(names)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compared, bars = compare(write(folder, rows, pairs), pairs, options.repeats)
        drawn = bootstrap(folder, rows, [508, pairs] if options.quick else [508, pairs, many])
        streamed = million(folder, rows, (pairs, many))
    whole = streamed[-1]
    name = f"align-eval score on {many:,} pairs with {RESAMPLES} resamples"
    bars.append(Bar(name, whole["seconds"], MILLION_SECONDS, least=False, unit=" s"))
    tables = [
        Table({"form": "from", "system": "system", "pairs": "pairs", "seconds": "seconds", "spread": "spread",
               "rate": "pairs/s", "ratio": "times ours"}, compared, "Links to AER"),
        Table({"pairs": "pairs", "resamples": "resamples", "seconds": "seconds", "rate": "pairs/s",
               "peak_mb": "peak memory (MB)", "files_mb": "files (MB)"}, streamed, "The command, from its start"),
        Table({"pairs": "pairs", "resamples": "resamples", "seconds": "seconds", "singly": "one at a time (s)",
               "ratio": "ratio"}, drawn, "Bootstrap as matrix products"),
    ]  # fmt: skip
    notes = [
        f"Gold: {', '.join(names)}, repeated. Spread is (greatest - least) / median of the runs. *files* begins with "
        "text and ends with numbers; *memory* begins with what each system holds, warm: a `LinkTable` keeps what it is "
        "merged by, Python's sets keep the hashes of their links. The command keeps four counts a "
        "sentence pair and blocks of links: its memory grows by the counts alone."
    ]
    settings = {"sets": names, "pairs": pairs, "repeats": options.repeats, "seed": SEED, "variants": VARIANTS}
    common.write_part(
        options.out, "scoring", "Scoring", tables, bars, settings=settings, notes=notes, machine=machine,
        quick=options.quick,
    )  # fmt: skip


if __name__ == "__main__":
    main()
