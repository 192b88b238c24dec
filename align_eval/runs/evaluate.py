"""Align test sets in every way asked for and score the links; find the attention head that aligns a test set best."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from align_eval.aligners import Aligner, AlignerSettings, System
from align_eval.aligners.heads import Head, chosen_mode, mode_name, require_both_directions
from align_eval.corpora import Corpus, SentencePair, load_testset
from align_eval.corpora.testset_entries import all_entries
from align_eval.errors import InputError
from align_eval.links import Links
from align_eval.links.table import LinkTable
from align_eval.runs.parallel_text import plain_language
from align_eval.scoring import Score, Signature, paired_tests, score_counts
from align_eval.scoring.measures import counts
from align_eval.scoring.systems import SystemScore
from align_eval.tables import frame

if TYPE_CHECKING:
    import pandas


# Pairs handed to the aligner at a time; it sorts them by length.
BLOCK = 2048


@dataclass(frozen=True)
class Evaluation:
    """One system (method and layer, or attention head) on one test set."""

    testset: str  # names
    model: str
    system: System
    links: LinkTable  # with scores where the method gives them
    result: SystemScore  # scores, counts and paired tests against the first system on the same test set
    long: dict[str, int] = field(default_factory=dict)  # pairs over the model's window: windowed, left_out

    @property
    def score(self) -> Score:
        """Corpus scores with intervals and signature."""
        return self.result.score

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        found = self.result.to_json()
        where = {"testset": self.testset, "model": self.model, "method": self.system.method}
        head = {k: v for k in ("head", "mode", "sym") if (v := getattr(self.system, k))}
        return {"system": found.pop("system"), **where, "layer": self.system.layer, **head, **found, **self.long}

    def to_frame(self) -> pandas.DataFrame:
        """One row, see :class:`Evaluations`."""
        return frame([self.to_json()])


class Evaluations(list[Evaluation]):
    """Evaluations of several systems, in order."""

    def to_frame(self) -> pandas.DataFrame:
        """A row a test set and system: what it is, measures in percent with the ends of their intervals, counts."""
        return frame(one.to_json() for one in self)


def aligners_for(
    settings: AlignerSettings, testsets: Sequence[Corpus], choose_on: str | None = None
) -> Iterator[tuple[Corpus, Aligner, str]]:
    """An aligner for each test set, in its languages unless others are named; the model is loaded once.

    Where ``settings.attention`` names no head, one is chosen on the test set ``choose_on`` (``None``: the project's own
    set of the two languages), and a sentence that names it is yielded too.
    """
    from align_eval.aligners import make_aligner

    made: Aligner | None = None
    for testset in testsets:
        languages = (
            settings.source_language or testset.source_language or None,
            settings.target_language or testset.target_language or None,
        )
        said = ""
        asked = replace(settings, source_language=languages[0], target_language=languages[1])
        if asked.attention is not None and asked.attention.head is None:
            other = testset_to_choose_on(choose_on, *languages)
            if other.checksum == testset.checksum:
                raise InputError(
                    f"a head would be chosen and scored on the same sentences, {other.name}",
                    remedy="Choose it on another set (--choose-on), or use align-eval sweep, which splits the set",
                )
            asked, said = choose_head(asked, other)
        if made is None or asked.attention is not None or getattr(settings.model, "family", "encoder") != "encoder":
            made = make_aligner(asked)
        yield testset, made, said


def align_pairs(
    pairs: Sequence[SentencePair], aligner: Aligner, progress: Callable[[int], None] | None = None
) -> dict[System, LinkTable]:
    """The links of every system of an aligner, in blocks (all at once if it needs the whole corpus)."""
    found: dict[System, list[Links]] = {system: [] for system in aligner.systems}
    block = max(len(pairs), 1) if aligner.whole_corpus else BLOCK
    for start in range(0, len(pairs), block):
        part = pairs[start : start + block]
        for system, links in aligner.align_all(part).items():
            found[system].extend(links)
        if progress:
            progress(len(part))
    return {system: LinkTable.from_links(items) for system, items in found.items()}


def evaluate_testset(
    testset: Corpus, aligner: Aligner, *, resamples: int = 1000, seed: int = 12345, alpha: float = 0.5,
    confidence: float = 0.95, tests: Sequence[str] = ("randomisation",), progress: Callable[[int], None] | None = None,
) -> list[Evaluation]:  # fmt: skip
    """Align a test set with every system of ``aligner`` and score the links: an evaluation each, in their order.

    ``tests``: paired tests of every later system against the first, none without resamples; ``progress``: called with
    the number of pairs aligned since the last call; for the rest see :func:`align_eval.scoring.score`.
    """
    gold = testset.gold  # without it there is nothing to do: said before hours of work
    aligner.take_long()
    found = align_pairs(testset.pairs, aligner, progress)
    long = dict(aligner.take_long())
    options: dict[str, Any] = {"resamples": resamples, "seed": seed, "alpha": alpha, "confidence": confidence}
    out: list[Evaluation] = []
    for system, table in found.items():
        rows = counts(gold, table)
        description = aligner.signature(system)
        model = description.get("model", "")
        first = out[0].result if out else None
        tested = paired_tests(first.counts, rows, tests=tests, **options) if first and resamples and tests else {}
        signature = Signature(
            {
                "set": testset.name,
                "sha256": testset.checksum[:8],
                "base": testset.base,
                "nulls": "drop",
                "sym": "none",
                "ar": resamples if "randomisation" in tested else None,
                **description,
            }
        )
        score = score_counts(rows, gold.links, signature=signature, **options)
        name = " ".join(filter(None, (model, str(system))))
        result = SystemScore(name, score, rows, first.name if first else None, tested)
        out.append(Evaluation(testset.name, model, system, table, result, long))
    return out


def choose_head(
    settings: AlignerSettings, testset: Corpus, *, progress: Callable[[int], None] | None = None
) -> tuple[AlignerSettings, str]:
    """Choose layer, head and alignment mode of ``settings.attention`` by AER on a test set, and say which it is.

    Candidates are all heads and the mean over the heads of each layer, in the mode asked for or in all modes. With both
    directions it is the head with the lowest mean AER of the two. The test set has the languages of the text in the
    same order; the model of ``settings`` may be a name.
    """
    import numpy as np

    from align_eval.attribution import make_attribution
    from align_eval.models import load_model
    from align_eval.runs.sweep import sweep_testset

    asked = settings.attention
    assert asked is not None
    model: Any = settings.model
    if isinstance(model, str):
        model = load_model(model, **settings.options)
    languages = (
        settings.source_language or testset.source_language,
        settings.target_language or testset.target_language,
    )
    turns = [(testset, languages)]
    if asked.symmetrize is not None:
        require_both_directions(model, languages)
        turns.append((testset.reverse(), languages[::-1]))
    totals: Any = 0.0
    for turn, (source, target) in turns:
        directed = model.in_languages(source, target)
        modes = None
        if asked.mode is not None:
            modes = [chosen_mode(make_attribution(asked.attribution, directed), asked.mode)]
        found = sweep_testset(
            turn, directed, modes=modes, attribution=asked.attribution, method=settings.methods[0],
            token_budget=settings.token_budget, progress=progress,
        )  # fmt: skip
        totals = totals + np.round(found.aer(), 9)
    best = int(totals.argmin())
    layer, head, reading = found.views[best]
    chosen = replace(asked, head=Head(layer, head), mode=mode_name(reading), chosen_on=testset.name.partition(":")[0])
    said = (
        f"head {chosen.head}, mode {chosen.mode}: the best of {len(found.views)} heads and modes on {testset.name} "
        f"({len(testset.pairs)} sentence pairs), AER {float(totals[best]) / len(turns):.2f}"
    )
    return replace(settings, model=model, attention=chosen), said


def testset_to_choose_on(name: str | None, source: str | None, target: str | None) -> Corpus:
    """The test set (by default the project's own of the two languages) that a head is chosen on, in their order.

    Raises:
        UnknownNameError: no such test set.
        InputError: none is named and there is no own set of the two languages, or they are not known.
    """

    languages = plain_language(source), plain_language(target)
    if name is None:
        own = {e.name: {e.source_language, e.target_language} for e in all_entries().values() if e.packaged}
        fit = [key for key, pair in own.items() if pair == set(languages)]
        if not fit:
            text = "text of unknown languages" if None in languages else f"{languages[0]}-{languages[1]}"
            raise InputError(
                f"no test set of the package is known to choose a head for {text}",
                remedy="Name one with --choose-on TESTSET, give --source-language and --target-language, or name a "
                f"head (--attention L6H1). Own sets: {', '.join(own)}",
            )
        name = fit[0]
    testset = load_testset(name)
    return testset.reverse() if languages == (testset.target_language, testset.source_language) else testset
