"""Translations judged by an independent aligner: which words of the source and of the translation have no link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from align_eval.aligners import ALIGNERS, AlignerSettings, make_aligner
from align_eval.corpora import SentencePair
from align_eval.corpora.tokenize import load_tokenizers
from align_eval.scoring.coverage import Coverage, coverage
from align_eval.scoring.signature import Signature
from align_eval.scoring.translation import default_tokenizer

if TYPE_CHECKING:
    from align_eval.aligners import Aligner
    from align_eval.links import Links
    from align_eval.runs.parallel_text import ParallelText

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
        punctuation, resamples, seed: see :func:`align_eval.scoring.coverage.coverage`.
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
