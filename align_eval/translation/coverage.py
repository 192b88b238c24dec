"""What links say of a translation without a reference: source words left uncovered, target words without support.

The links come from an aligner that is not the translation model. A source word without a link may have been left out
by the translation; a target word without one may have been made up. Neither percentage is ever 0: articles and
particles often have no counterpart, and aligners miss links. Compare them with those of a human translation of the same
text by the same aligner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.aligners import ALIGNERS, AlignerSettings, default_method, make_aligner
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.words import is_punctuation, load_tokenizers
from align_eval.errors import LengthMismatchError
from align_eval.runs.evaluate import align_pairs
from align_eval.scoring.measures import known
from align_eval.scoring.paired import PairedTest, compare
from align_eval.scoring.score import rounded, rounded_ends
from align_eval.scoring.signature import Signature
from align_eval.statistics import Resampling, check_resampling, studentise
from align_eval.translation.metrics import default_tokenizer

if TYPE_CHECKING:
    from align_eval.aligners import Aligner
    from align_eval.corpora import Corpus
    from align_eval.links import Links

LEVEL = 0.95  # of the intervals


@dataclass(frozen=True)
class SentenceCoverage:
    """One sentence pair: source and target words (0-based) without a link to a word, and how many were counted."""

    uncovered: tuple[int, ...]
    unsupported: tuple[int, ...]
    source_words: int
    target_words: int

    @property
    def ratio(self) -> float:
        """Words without a link, of both sides, as a fraction of all words counted; 0 for a pair without words."""
        words = self.source_words + self.target_words
        return (len(self.uncovered) + len(self.unsupported)) / words if words else 0.0


@dataclass(frozen=True)
class Coverage:
    """A text.

    Attributes:
        uncovered_source, unsupported_target: percent of the words counted in the whole text; ``None``: no word.
        ci: of each, (low, high) in percent (studentised bootstrap over sentence pairs); empty without resamples.
    """

    sentences: tuple[SentenceCoverage, ...]
    uncovered_source: float | None
    unsupported_target: float | None
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)

    def worst(self, number: int) -> list[int]:
        """The pairs with the greatest :attr:`SentenceCoverage.ratio`; of equal ones those with more such words."""
        ranked = [
            (-one.ratio, -len(one.uncovered) - len(one.unsupported), k)
            for k, one in enumerate(self.sentences)
            if one.ratio > 0
        ]
        return [k for _, _, k in sorted(ranked)[:number]]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``: percentages, counts, intervals."""
        sums = _rows(self.sentences).sum(axis=0, dtype=np.int64).tolist()
        return {
            "uncovered_source": rounded(self.uncovered_source),
            "unsupported_target": rounded(self.unsupported_target),
            "uncovered_source_words": sums[0],
            "source_words": sums[1],
            "unsupported_target_words": sums[2],
            "target_words": sums[3],
            "ci": rounded_ends(self.ci),
        }


def sentence_coverage(pair: SentencePair, links: Links, *, punctuation: bool = False) -> SentenceCoverage:
    """Count the words of one pair (0-based links, which must be within it) that have no link.

    Without ``punctuation`` marks are not counted, and a link to one covers nothing.
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
    pairs: Sequence[SentencePair], links: Sequence[Links], *, punctuation: bool = False, resamples: int = 1000,
    seed: int = 12345,
) -> Coverage:  # fmt: skip
    """Count the words of a text and its translation that have no link, by :func:`sentence_coverage`."""
    check_resampling(resamples, seed)
    if len(pairs) != len(links):
        raise LengthMismatchError(f"{len(pairs)} sentence pairs but links of {len(links)}")
    sentences = tuple(
        sentence_coverage(pair, found, punctuation=punctuation) for pair, found in zip(pairs, links, strict=True)
    )
    rows = _rows(sentences)
    values = {name: known(float(value)) for name, value in _percentages(rows.sum(axis=0, dtype=np.int64)).items()}
    ci = {}
    if resamples and len(rows):
        fractions = lambda sums: {name: value / 100 for name, value in _percentages(sums).items()}  # noqa: E731
        for name, found in studentise(rows, fractions, resamples, seed).items():
            if len(found.sample):
                low, high = found.interval(LEVEL)
                ci[name] = 100 * low, 100 * high
    return Coverage(sentences, **values, ci=ci)


def coverage_tests(
    first: Coverage, other: Coverage, *, tests: Sequence[str] = ("randomisation",), resamples: int = 1000,
    seed: int = 12345,
) -> dict[str, PairedTest]:  # fmt: skip
    """Test whether two translations of one text (same source words) differ in their ratios of words without a link.

    The sentence is the unit, as in :func:`align_eval.scoring.paired.paired_tests`: resamples draw sentences, trials let
    the two translations of a sentence change places. The difference is this one minus the first, in percent points.
    """
    if len(first.sentences) != len(other.sentences):
        raise LengthMismatchError(f"{len(first.sentences)} sentences but {len(other.sentences)} of the other")
    a, b = _rows(first.sentences).astype(np.int64), _rows(other.sentences).astype(np.int64)
    before, after = _percentages(a.sum(axis=0)), _percentages(b.sum(axis=0))
    observed = {name: float(after[name] - before[name]) for name in before}
    return compare(a, b, _percentages, observed, tests, Resampling(resamples, seed, LEVEL))


def _percentages(sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """In percent, from sums ``(..., 4)``; NaN where no word is counted."""
    out = {}
    for name, column in (("uncovered_source", 0), ("unsupported_target", 2)):
        below = sums[..., column + 1].astype(np.float64)
        out[name] = np.divide(100.0 * sums[..., column], below, out=np.full_like(below, np.nan), where=below > 0)
    return out


def _rows(sentences: Sequence[SentenceCoverage]) -> NDArray[np.int32]:
    """Uncovered, source words, unsupported, target words of each pair, ``(N, 4)``."""
    rows = [(len(s.uncovered), s.source_words, len(s.unsupported), s.target_words) for s in sentences]
    return np.array(rows, dtype=np.int32).reshape(-1, 4)


@dataclass(frozen=True)
class Diagnosis:
    """The words without a link in one translation of the text (by a model, or the reference).

    Attributes:
        pairs: source words and words of the translation, as they were aligned.
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
    spec: str, method: str | None = None, *, token_budget: int | None = None, **loading: Any
) -> Aligner:
    """The aligner of the diagnostics: an encoder with an extraction method, or one without a model with its options."""
    name = spec.partition(":")[0]
    if name in ALIGNERS and not ALIGNERS.get(name).needs_model:
        return make_aligner(AlignerSettings(None, (spec,)))
    methods = (method or default_method(spec),)
    return make_aligner(AlignerSettings(spec, methods, token_budget=token_budget, options=loading))


def word_tokenizers(text: Corpus, named: tuple[str | None, str | None]) -> tuple[str, str]:
    """The names of the tokenisers of source and translations for the diagnostics; an error if one cannot be loaded."""
    source = "none" if text.table is not None else default_tokenizer(text.source_language)
    chosen = (named[0] or source, named[1] or default_tokenizer(text.target_language))
    load_tokenizers(chosen)
    return chosen


def diagnose(
    text: Corpus, outputs: Sequence[Sequence[str]], aligner: Aligner, tokenize: tuple[str, str], *,
    punctuation: bool = False, progress: Callable[[int], None] | None = None, **options: Any,
) -> list[Diagnosis]:  # fmt: skip
    """Align the sources with each of several translations of them, all in one go, and count words without a link.

    ``outputs``: translations (raw text), a list a translator. ``tokenize``: names of :func:`word_tokenizers`; ``none``
    for the source: the words of the text as they are. ``options``: of :func:`coverage`.
    """
    first, second = load_tokenizers(tokenize)
    assert first is not None
    assert second is not None
    sources = [
        pair.source if tokenize[0] == "none" else tuple(first(given))
        for pair, given in zip(text.pairs, text.source_texts, strict=True)
    ]
    pairs = [
        SentencePair(pair.id, source, tuple(second(line)))
        for output in outputs
        for pair, source, line in zip(text.pairs, sources, output, strict=True)
    ]
    system = aligner.systems[0]
    links = list(align_pairs(pairs, aligner, progress)[system])
    signature = str(Signature(aligner.signature(system)))
    out = []
    for start in range(0, len(pairs), len(text)):
        part = slice(start, start + len(text))
        found = coverage(pairs[part], links[part], punctuation=punctuation, **options)
        out.append(Diagnosis(pairs[part], found, signature, tokenize, punctuation))
    return out
