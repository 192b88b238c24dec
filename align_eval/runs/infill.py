"""Mask words of a corpus by strategies, and measure what that does to the attention of one head, against baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from align_eval.aligners.heads import mode_name
from align_eval.attribution.matrix import View
from align_eval.corpora import Corpus
from align_eval.errors import InputError, SentenceTooLongError, UnknownNameError
from align_eval.figures.curves import redistribution_curves
from align_eval.files import StrPath, atomic_writer
from align_eval.infilling.analysis import analyse, correlate, rounded
from align_eval.infilling.measures import RowCollector, joined
from align_eval.infilling.strategies import MaskingStrategy, Variants, make_strategy, masks_of
from align_eval.report.infilling_corpus import LEGEND, infill_table, subject_line, summarise_corpus
from align_eval.runs.engines import Engine
from align_eval.runs.infill_work import InfillWork
from align_eval.runs.results import environment, make_folder, write_figure, write_json
from align_eval.runs.sweep import split
from align_eval.shown import markdown
from align_eval.statistics import Resampling
from align_eval.tables import render_markdown

CHOICES = ("masked", "full", "model")
"""What chooses a head: the accuracy of rows of masked words, or of all rows of the unmasked run; or the model."""
CHOICE_STRATEGIES = ("span:ratio=0.5,draws=4", "random:ratio=0.5,draws=4")
"""What is masked in the dev split when masked rows choose the head."""


@dataclass(frozen=True)
class ChosenHead:
    """A head and why it is this one."""

    head: View
    rule: str  # how it was chosen, one phrase
    development: tuple[int, ...] = ()  # positions of the pairs that it was chosen on; empty if not by gold
    accuracy: float | None = None  # on those pairs; None if it was not chosen by gold
    candidates: int = 1  # how many heads it was chosen from


@dataclass(frozen=True)
class Infilling:
    """A corpus with words masked by several strategies."""

    corpus: Corpus
    model: str
    revision: str
    chosen: ChosenHead  # its dev split takes no part in what follows
    strategies: tuple[dict[str, Any], ...]  # each of :func:`align_eval.infilling.analysis.analyse`
    pooled: dict[str, Any] | None  # the correlation over all strategies together; None without gold
    sentences: int  # pairs that were read
    left_out: int  # pairs with an empty side or one that is too long for the model
    unmaskable: int  # words without a token, which no strategy can mask
    how: Resampling

    def subject(self) -> dict[str, Any]:
        """What the numbers are of: corpus, direction, model, head and its rule."""
        head = self.chosen.head
        return {
            "testset": self.corpus.base_name, "direction": self.corpus.direction, "links": self.corpus.gold_kind,
            "model": self.model, "revision": self.revision,
            "layer": head.layer, "head": head.head, "mode": mode_name(head.reading), "view_rule": self.chosen.rule,
            "development_sentences": len(self.chosen.development), "evaluated_sentences": self.sentences,
            "left_out": self.left_out, "unhideable_words": self.unmaskable,
            "resamples": self.how.resamples, "seed": self.how.seed, "confidence": self.how.confidence,
            "interval": "studentised" if self.how.resamples else None,
            "interval_of_correlations": "BCa" if self.how.resamples else None,
        }  # fmt: skip

    def to_json(self) -> list[dict[str, Any]]:
        """One row a strategy; see :func:`align_eval.infilling.analysis.analyse` for its keys."""
        return [{**self.subject(), **found} for found in self.strategies]

    def summary(self) -> dict[str, Any]:
        """All there is, for a file: subject, rows, and the correlation over all strategies together."""
        return {
            "subject": {**self.subject(), "development_accuracy": rounded(self.chosen.accuracy)},
            "strategies": list(self.strategies),
            "correlation_all_strategies": rounded(self.pooled),
        }


def infill_testset(
    corpus: Corpus,
    model: Any,
    strategies: Sequence[str | MaskingStrategy],
    *,
    head: View | tuple[Any, ...] | None = None,
    development: float = 0.2,
    seed: int = 12345,
    resamples: int = 2000,
    confidence: float = 0.95,
    token_budget: int | None = None,
    progress: Callable[[int], None] | None = None,
    engine: Engine | None = None,
    choose_by: str = "masked",
    on_long: str = "leave",
) -> Infilling:
    """Mask target words by strategies and measure every row unmasked and masked.

    All strategies of a sentence run in one pass, with one unmasked run. The head is chosen among all layers and heads
    (and the mean over the heads of each layer) on a dev split, as the one whose rows of masked words peak on a
    gold-aligned word most often when half of the words are masked (:data:`CHOICE_STRATEGIES`), or, with
    ``choose_by="full"``, whose rows of the unmasked run do. The strategies that are measured play no part in it. The
    dev split, the same as ``align-eval sweep`` takes for the same seed, is then left out.

    Args:
        corpus: a test set, or own data with gold links or without.
        model: of :func:`align_eval.load_model`, one that was trained to fill masked words; or a ``functools.partial``
            that loads it where the engine needs it. One of several languages takes those of the corpus.
        strategies: specs such as ``"span:ratio=0.5"``; see :mod:`align_eval.infilling.strategies`. Doubles count once.
        head: layer and head, from 1 or ``"mean"``; nothing is chosen then and all pairs count. Without gold links it
            is the model's default unless given.
        development: ratio of the pairs that the head is chosen on.
        seed: of the split, the strategies that draw, the resamples and the baseline that draws.
        resamples, confidence: of intervals and tests, over sentences.
        token_budget: tokens in a batch; it changes speed and memory only.
        progress: called with the pairs done since the last call, of the dev split too.
        engine: where the model works; default this process. The batches are the same, and so are the results, as far
            as the model rounds alike (number of threads, kind of machine).
        choose_by: ``"masked"`` or ``"full"``: the rows whose accuracy chooses the head; ``"model"``: nothing is chosen
            and all pairs count, the head is the one guided in training, or the model's default.
        on_long: ``leave`` (pairs over the model's window are left out and counted) or ``raise``.

    Raises:
        SentenceTooLongError: a pair over the model's window, with ``on_long="raise"``.
        EngineError: the engine has failed.
        InputError: no strategy, an impossible option, a strategy that needs gold links or a language where there is
            none.
        UnknownNameError: an unknown strategy or option of one, or a language without a list of function words.
        ModelError: the model cannot fill masked words.
    """
    check_words(corpus)
    how = Resampling(resamples, seed, confidence)
    given = (make_strategy(some, language=corpus.target_language or None) for some in strategies)
    made = {strategy.spec: strategy for strategy in given}
    if not made:
        raise InputError("no masking strategy is given", remedy="Give one such as span:ratio=0.5")
    work = InfillWork(corpus, model, engine, head=head, token_budget=token_budget, progress=progress)
    _check_left(corpus, work, on_long)
    maskable = {k: words for k, words in work.maskable.items() if words is not None}
    drawn = {spec: masks_of(some, [corpus.pairs[k] for k in maskable], seed) for spec, some in made.items()}
    masks = {spec: dict(zip(maskable, of_pairs, strict=True)) for spec, of_pairs in drawn.items()}
    chosen = chosen_head(work, head, development, seed, choose_by)
    test = sorted(set(maskable) - set(chosen.development))
    wanted = [{spec: _only(masks[spec][k], maskable[k]) for spec in made} for k in test]
    collectors = {spec: RowCollector() for spec in made}
    without = dict.fromkeys(made, 0)
    runs = [[mask for variants in of_pair.values() for mask in variants] for of_pair in wanted]
    for result in work.infill(test, runs, chosen.head):
        start = 0
        for spec, variants in wanted[result.index].items():
            collectors[spec].add(result, result.variants[start : start + len(variants)])
            without[spec] += not variants
            start += len(variants)
    tables = {spec: collector.table() for spec, collector in collectors.items()}
    analyses = (analyse(spec, tables[spec], collectors[spec].masked, how, without=without[spec]) for spec in made)
    pooled = None
    if corpus.table is not None:
        pooled = correlate(joined(list(tables.values())), how)
    unmaskable = sum(len(corpus.pairs[k].target) - len(maskable[k]) for k in test)
    return Infilling(
        corpus, work.facts.name, work.facts.revision, chosen, tuple(analyses), pooled, len(test),
        len(corpus) - len(maskable), unmaskable, how,
    )  # fmt: skip


def check_words(corpus: Corpus) -> None:
    """Refuse a corpus without a sentence pair, and a single pair with a side without a word."""
    if not corpus:
        raise InputError(f"{corpus.base_name} has no sentence pairs")
    if len(corpus) == 1 and not (corpus[0].source and corpus[0].target):
        raise InputError("a side of the pair has no word", remedy="Give both sentences, words between spaces")


def _check_left(corpus: Corpus, work: InfillWork, on_long: str) -> None:
    """Refuse pairs over the model's window if that is asked for, and a corpus of which nothing is left."""
    lost = [corpus.pairs[k] for k, words in work.maskable.items() if words is None]
    long = [pair.id for pair in lost if pair.source and pair.target]
    if long and on_long == "raise":
        raise SentenceTooLongError(
            f"pair {long[0]} is longer than the window of {work.facts.name}",
            remedy="Leave such pairs out (--on-long leave) or split them",
        )
    if len(lost) == len(corpus):
        raise InputError(
            f"no sentence pair of {corpus.base_name} can be used: {len(long)} are longer than the window of "
            f"{work.facts.name}, {len(lost) - len(long)} have an empty side",
            remedy="Give pairs that have words and fit the model",
        )


def chosen_head(
    work: InfillWork, head: View | tuple[Any, ...] | None, development: float, seed: int, choose_by: str
) -> ChosenHead:
    """The head given, else the one chosen on a dev split, else the model's default."""
    corpus, facts = work.corpus, work.facts
    if choose_by not in CHOICES:
        raise UnknownNameError("rule to choose a head by", choose_by, CHOICES)
    if head is not None:
        return ChosenHead(View(head[0], head[1], head[2] if len(head) > 2 else facts.mode), "given by name")
    if corpus.table is None:
        return ChosenHead(facts.default[0], "the model's default (no gold links to choose by)")
    if choose_by == "model":
        return ChosenHead(*facts.default)
    numbers = split(len(corpus), development, seed)[0].tolist()
    maskable = {k: words for k in numbers if corpus.pairs[k].gold is not None and (words := work.maskable[k])}
    masks: list[Variants] | None = None
    if choose_by == "masked":
        pairs = [corpus.pairs[k] for k in maskable]
        by_strategy = [masks_of(make_strategy(spec), pairs, seed) for spec in CHOICE_STRATEGIES]
        drawn = ([mask for variants in of_pair for mask in variants] for of_pair in zip(*by_strategy, strict=True))
        masks = [_only(some, words) for some, words in zip(drawn, maskable.values(), strict=True)]
    found = work.accuracies(list(maskable), masks)
    if np.isnan(found).any():
        raise InputError(
            f"the {len(numbers)} pairs of the dev split of {corpus.base_name} have no gold link to choose a head by",
            remedy="Name the head with --layer and --head, or make the dev split larger",
        )
    best = int(found.argmax())
    half = "; half of the words masked, 4 spans and 4 random draws a pair" if masks else ""
    rule = (
        f"of {len(found)} heads the one with the highest {corpus.gold_kind} accuracy of {choose_by} rows on the "
        f"dev split ({len(numbers)} of {len(corpus)} pairs, seed {seed}{half})"
    )
    return ChosenHead(facts.heads[best], rule, tuple(numbers), float(found[best]), len(found))


def _only(variants: Variants, maskable: frozenset[int]) -> Variants:
    """The variants without words that have no token."""
    kept = (tuple(word for word in mask if word in maskable) for mask in variants)
    return list(dict.fromkeys(mask for mask in kept if mask))


def write_infilling(found: Infilling, folder: StrPath) -> list[str]:
    """Write numbers, a page, the summary and, where a strategy has three ratios or more, curves into a folder.

    Returns the names of the files: ``infill.json``, ``README.md``, ``summary.json``, ``summary.md``, and
    ``curves.png``, ``curves.svg`` and ``curves.pdf``.
    """
    base = make_folder(folder)
    rows = found.to_json()
    write_json(base / "infill.json", {"environment": environment(), **found.summary()})
    with atomic_writer(base / "README.md") as stream:
        stream.write("\n".join([f"# Masked words: {markdown(subject_line(rows[0]))}", "", *page_lines(rows)]) + "\n")
    return ["infill.json", "README.md", *write_summary(rows, base)]


def page_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Table, legend, what holds and what does not, as lines of Markdown."""
    return [*render_markdown(infill_table(rows)), "", LEGEND, "", *(f"- {markdown(text)}" for text in findings(rows))]


def findings(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What holds over the strategies, then what does not, a sentence each."""
    summary = summarise_corpus(rows)
    return [*summary.findings, *summary.anomalies]


def write_summary(rows: Sequence[dict[str, Any]], folder: StrPath) -> list[str]:
    """Write the summary, and curves of strategies with three ratios of masked words or more; returns the file names."""
    base = make_folder(folder)
    names = [path.name for path in summarise_corpus(rows).write(base, "summary")]
    ratios: dict[str, set[float]] = {}
    kinds = [row["strategy"].partition(":")[0] for row in rows]
    for row, kind in zip(rows, kinds, strict=True):
        if row["rows_masked"]:
            ratios.setdefault(kind, set()).add(row["mask_share"])
    several = [row for row, kind in zip(rows, kinds, strict=True) if row["rows_masked"] and len(ratios[kind]) > 2]
    if not several:
        return names

    first = several[0]
    where = ", ".join(part for part in (first["testset"], first["direction"]) if part)
    figure = redistribution_curves(
        several,
        model=first["model"],
        head=f"layer {first['layer']}, head {first['head']}",
        rule=first["view_rule"],
        title=f"{where}: {first['evaluated_sentences']} sentence pairs",
        gold_name="silver" if first.get("links") == "silver" else "gold",
    )
    return [*names, *(path.name for path in write_figure(figure, base, "curves"))]
