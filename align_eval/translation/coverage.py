"""What links say of a translation without a reference: source words left uncovered, target words without support.

The links come from an aligner that is not the translation model. A source word without a link may have been left out
by the translation; a target word without one may have been made up. Both shares are never 0: articles and particles
often have no counterpart, and aligners miss links. They are to be read beside those of a human translation of the same
text by the same aligner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.aligners import ALIGNERS, AlignerSettings, make_aligner
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.punctuation import is_punctuation
from align_eval.corpora.tokenize import load_tokenizers
from align_eval.errors import InputError, LengthMismatchError
from align_eval.scoring.paired import PairedTest, compare
from align_eval.scoring.score import DECIMALS
from align_eval.scoring.signature import Signature
from align_eval.statistics import check_resampling, studentise
from align_eval.translation.metrics import default_tokenizer

if TYPE_CHECKING:
    from align_eval.aligners import Aligner
    from align_eval.links import Links
    from align_eval.runs.parallel_text import ParallelText


@dataclass(frozen=True)
class SentenceCoverage:
    """One sentence pair.

    Attributes:
        uncovered: source words (0-based) without a link to a word.
        unsupported: target words (0-based) without a link to a word.
        source_words, target_words: words counted.
    """

    uncovered: tuple[int, ...]
    unsupported: tuple[int, ...]
    source_words: int
    target_words: int

    @property
    def share(self) -> float:
        """Words without a link, of both sides, as a fraction of all words counted; 0 for a pair without words."""
        words = self.source_words + self.target_words
        return (len(self.uncovered) + len(self.unsupported)) / words if words else 0.0


@dataclass(frozen=True)
class Coverage:
    """A text.

    Attributes:
        sentences: each pair.
        uncovered_source, unsupported_target: shares in percent of the words counted in the whole text; ``None`` where
            there is no word.
        ci: of each, (low, high) in percent (studentised bootstrap over sentence pairs); empty without resamples.
    """

    sentences: tuple[SentenceCoverage, ...]
    uncovered_source: float | None
    unsupported_target: float | None
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)

    def worst(self, number: int) -> list[int]:
        """The pairs with the greatest :attr:`SentenceCoverage.share`, of equal ones the one with more such words.

        Pairs without an uncovered or unsupported word are not among them.
        """

        def key(k: int) -> tuple[float, int, int]:
            one = self.sentences[k]
            return (-one.share, -len(one.uncovered) - len(one.unsupported), k)

        return [k for k in sorted(range(len(self.sentences)), key=key) if self.sentences[k].share > 0][:number]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``: shares, counts, intervals."""
        sums = _rows(self.sentences).sum(axis=0, dtype=np.int64).tolist()
        return {
            "uncovered_source": None if self.uncovered_source is None else round(self.uncovered_source, DECIMALS),
            "unsupported_target": None if self.unsupported_target is None else round(self.unsupported_target, DECIMALS),
            "uncovered_source_words": sums[0],
            "source_words": sums[1],
            "unsupported_target_words": sums[2],
            "target_words": sums[3],
            "ci": {name: [round(low, DECIMALS), round(high, DECIMALS)] for name, (low, high) in self.ci.items()},
        }


def sentence_coverage(pair: SentencePair, links: Links, *, punctuation: bool = False) -> SentenceCoverage:
    """Count the words of one pair that have no link.

    Args:
        pair: source words and the words of the translation.
        links: 0-based, of an aligner.
        punctuation: count punctuation too; else it is not counted, and a link to it covers nothing.

    Raises:
        LinkRangeError: a link points outside of the pair.
    """
    links.check_range(len(pair.source), len(pair.target))
    source = [punctuation or not is_punctuation(word) for word in pair.source]
    target = [punctuation or not is_punctuation(word) for word in pair.target]
    kept = [(i, j) for i, j in links if source[i] and target[j]]
    covered, supported = {i for i, _ in kept}, {j for _, j in kept}
    return SentenceCoverage(
        tuple(i for i, counted in enumerate(source) if counted and i not in covered),
        tuple(j for j, counted in enumerate(target) if counted and j not in supported),
        sum(source),
        sum(target),
    )


def coverage(
    pairs: Sequence[SentencePair],
    links: Sequence[Links],
    *,
    punctuation: bool = False,
    resamples: int = 1000,
    seed: int = 12345,
    confidence: float = 0.95,
) -> Coverage:
    """Count the words of a text and its translation that have no link.

    Args:
        pairs, links, punctuation: see :func:`sentence_coverage`; one links a pair.
        resamples, seed, confidence: of the intervals; no resamples, no intervals.

    Raises:
        LengthMismatchError: other numbers of pairs than of links.
        LinkRangeError: a link points outside of its pair.
        InputError: a parameter out of its range.
    """
    check_resampling(resamples, seed, confidence)
    if len(pairs) != len(links):
        raise LengthMismatchError(f"{len(pairs)} sentence pairs but links of {len(links)}")
    sentences = tuple(
        sentence_coverage(pair, found, punctuation=punctuation) for pair, found in zip(pairs, links, strict=True)
    )
    rows = _rows(sentences)
    sums = rows.sum(axis=0, dtype=np.int64)
    shares = [100 * float(sums[k]) / float(sums[k + 1]) if sums[k + 1] else None for k in (0, 2)]
    ci = {}
    if resamples and len(rows):
        fractions = studentise(
            rows, lambda sums: {name: share / 100 for name, share in _shares(sums).items()}, resamples, seed
        )
        for name, found in fractions.items():
            if len(found.sample):
                low, high = found.interval(confidence)
                ci[name] = 100 * low, 100 * high
    return Coverage(sentences, shares[0], shares[1], ci)


#: The shares that are tested, each as (name, column of the words without a link, column of the words counted).
SHARES = (("uncovered_source", 0, 1), ("unsupported_target", 2, 3))


def coverage_tests(
    first: Coverage,
    other: Coverage,
    *,
    tests: Sequence[str] = ("randomisation",),
    resamples: int = 1000,
    seed: int = 12345,
    confidence: float = 0.95,
) -> dict[str, PairedTest]:
    """Test whether two translations of one text differ in their shares of words without a link.

    The sentence is the unit, as in :func:`align_eval.scoring.paired.paired_tests`: resamples draw sentences, trials let
    the two translations of a sentence change places. The difference is this one minus the first, in percent points.

    Args:
        first, other: of the same text, same words of the source.
        tests: names of :data:`align_eval.scoring.paired.TESTS`.
        resamples, seed, confidence: of tests and intervals; resamples at least 1.

    Returns:
        for each test the differences, p-values and (bootstrap) intervals of ``uncovered_source`` and
        ``unsupported_target``.

    Raises:
        LengthMismatchError: other numbers of sentences.
        UnknownNameError: no such test. InputError: a parameter out of its range.
    """
    check_resampling(resamples, seed, confidence)
    if len(first.sentences) != len(other.sentences):
        raise LengthMismatchError(f"{len(first.sentences)} sentences but {len(other.sentences)} of the other")
    if not resamples:
        raise InputError("a paired test needs at least one resample", remedy="Give more with --resamples")
    a, b = _rows(first.sentences).astype(np.int64), _rows(other.sentences).astype(np.int64)
    before, after = _shares(a.sum(axis=0)), _shares(b.sum(axis=0))
    observed = {name: float(after[name] - before[name]) for name, _, _ in SHARES}
    return compare(a, b, _shares, observed, tests=tests, resamples=resamples, seed=seed, confidence=confidence)


def _shares(sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """The shares in percent, from sums ``(..., 4)``."""
    return {name: _percent(sums, part, whole) for name, part, whole in SHARES}


def _percent(sums: NDArray[Any], part: int, whole: int) -> NDArray[np.float64]:
    """A share in percent of sums ``(..., 4)``; NaN where no word is counted."""
    below = sums[..., whole].astype(np.float64)
    return np.divide(100.0 * sums[..., part], below, out=np.full_like(below, np.nan), where=below > 0)


def _rows(sentences: Sequence[SentenceCoverage]) -> NDArray[np.int32]:
    """Uncovered, source words, unsupported, target words of each pair, ``(N, 4)``."""
    rows = [(len(s.uncovered), s.source_words, len(s.unsupported), s.target_words) for s in sentences]
    return np.array(rows, dtype=np.int32).reshape(-1, 4)


# Pairs handed to the aligner at a time; it sorts them by length.
BLOCK = 2048


@dataclass(frozen=True)
class Diagnosis:
    """The links of one translation of the text: by a model, or the reference.

    Attributes:
        pairs: source words and words of the translation, as they were aligned.
        coverage: words without a link.
        aligner: signature of the aligner.
        tokenize: tokenisers of both sides; ``none``: words as they are.
        punctuation: marks are counted as words.
    """

    pairs: list[SentencePair] = field(repr=False)
    coverage: Coverage
    aligner: str
    tokenize: tuple[str, str]
    punctuation: bool = False


def diagnostic_aligner(
    spec: str, method: str = "argmax", *, token_budget: int | None = None, **loading: Any
) -> Aligner:
    """The aligner of the diagnostics.

    Args:
        spec: an encoder's name, or an aligner without a model with its options (``eflomal:train=FILE``).
        method: extraction method, if it is an encoder.
        token_budget, loading: of the encoder.

    Raises:
        UnknownNameError, ModelError, InputError: as :func:`align_eval.aligners.make_aligner`.
    """
    name = spec.partition(":")[0]
    if name in ALIGNERS and not ALIGNERS.get(name).needs_model:
        return make_aligner(AlignerSettings(None, (spec,)))
    return make_aligner(AlignerSettings(spec, (method,), token_budget=token_budget, options=loading))


def word_tokenizers(text: ParallelText, named: tuple[str | None, str | None]) -> tuple[str, str]:
    """The tokenisers of source and translations for the diagnostics, by name; checked.

    Raises:
        UnknownNameError: no such tokeniser.
        InputError: it needs a package that is not installed.
    """
    source = "none" if text.gold is not None else default_tokenizer(text.source_language)
    chosen = (named[0] or source, named[1] or default_tokenizer(text.target_language))
    load_tokenizers(chosen)
    return chosen


def diagnose(
    text: ParallelText,
    outputs: Sequence[Sequence[str]],
    aligner: Aligner,
    tokenize: tuple[str, str],
    *,
    punctuation: bool = False,
    resamples: int = 1000,
    seed: int = 12345,
    progress: Callable[[int], None] | None = None,
) -> list[Diagnosis]:
    """Align the sources with each of several translations of them, all in one go, and count words without a link.

    Args:
        outputs: translations (raw text), one list a translator.
        tokenize: names of :func:`word_tokenizers`. ``none`` for the source: the words of the text as they are.
        punctuation, resamples, seed: see :func:`align_eval.translation.coverage.coverage`.
    """
    first, second = load_tokenizers(tokenize)
    assert first is not None
    assert second is not None
    sources = [
        pair.source if tokenize[0] == "none" else tuple(first(given))
        for pair, given in zip(text.pairs, text.sources, strict=True)
    ]
    pairs = [
        SentencePair(pair.id, source, tuple(second(line)))
        for output in outputs
        for pair, source, line in zip(text.pairs, sources, output, strict=True)
    ]
    system = aligner.systems[0]
    links: list[Links] = []
    block = len(pairs) if aligner.whole_corpus else BLOCK
    for start in range(0, len(pairs), block):
        part = pairs[start : start + block]
        links += aligner.align_all(part)[system]
        if progress:
            progress(len(part))
    signature = str(Signature(aligner.signature(system)))
    out = []
    for start in range(0, len(pairs), len(text)):
        own = pairs[start : start + len(text)]
        found = coverage(own, links[start : start + len(text)], punctuation=punctuation, resamples=resamples, seed=seed)
        out.append(Diagnosis(own, found, signature, tokenize, punctuation))
    return out
