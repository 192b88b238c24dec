"""Translation quality by sacrebleu: BLEU, chrF and TER, with its signatures, its intervals and its paired tests.

Nothing is computed here that sacrebleu computes (Post 2018, *A Call for Clarity in Reporting BLEU Scores*): the numbers
are those of its command line. Its intervals are the mean of the bootstrap resamples plus and minus half the width of
their middle 95 %; its paired tests are the bootstrap (Koehn 2004) and approximate randomisation (Riezler & Maxwell
2005), both two-sided.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from align_eval.errors import InputError, LengthMismatchError, UnknownNameError
from align_eval.statistics import check_resampling

METRICS = ("bleu", "chrf", "ter")
#: Names of the paired tests, as :data:`align_eval.scoring.paired.TESTS`, and sacrebleu's names of them.
TESTS = {"bootstrap": "bs", "randomisation": "ar"}
_SEED = "SACREBLEU_SEED"
_DEFAULT_SEED = 12345  # sacrebleu's own, without that variable
_environment = threading.RLock()
# Languages written without spaces: sacrebleu's tokeniser for BLEU, and TER's support of their characters.
_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
_UNSPACED = ("zh", "ja")


@dataclass(frozen=True)
class MetricScore:
    """One metric of one system.

    Attributes:
        score: as sacrebleu scales it: 0 to 100; TER may exceed 100.
        signature: sacrebleu's.
        ci: (low, high), 95 %, around the mean of the resamples; ``None`` without resamples.
    """

    score: float
    signature: str
    ci: tuple[float, float] | None = None


@dataclass(frozen=True)
class MetricTest:
    """sacrebleu's two-sided paired test of a system against the first: this one minus the first, p-value, signature."""

    difference: float
    p_value: float
    signature: str

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return {"difference": round(self.difference, 6), "p_value": self.p_value, "signature": self.signature}


def default_tokenizer(language: str | None) -> str:
    """sacrebleu's tokeniser for BLEU by the language of the references: ``zh``, ``ja-mecab``, ``ko-mecab``, ``13a``."""
    return _TOKENIZERS.get(language or "", "13a")


def make_metrics(language: str | None = None, tokenize: str | None = None) -> dict[str, Any]:
    """sacrebleu's metrics with its defaults; TER of Chinese and Japanese splits their characters.

    ``tokenize`` is its tokeniser for BLEU; ``None``: the :func:`default_tokenizer` of the references' language.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    from align_eval.corpora.words import load_tokenizer

    name = tokenize or default_tokenizer(language)
    if name not in BLEU.TOKENIZERS:
        raise UnknownNameError("tokeniser of BLEU", name, BLEU.TOKENIZERS)
    load_tokenizer(name)  # with our errors for what is not installed
    unspaced = language in _UNSPACED
    return {
        "bleu": BLEU(tokenize=name, force=True),
        "chrf": CHRF(),
        "ter": TER(normalized=unspaced, asian_support=unspaced),
    }


def score_translations(
    hypotheses: Sequence[str], references: Sequence[str], *, resamples: int = 1000, seed: int = 12345,
    language: str | None = None, tokenize: str | None = None,
) -> dict[str, MetricScore]:  # fmt: skip
    """BLEU, chrF and TER of a corpus, in the order of :data:`METRICS`.

    Args:
        hypotheses, references: one line of text a sentence.
        resamples: of the intervals; 0: none.
        seed: of the resamples, at least 1 (sacrebleu takes 0 for no seed in its paired tests).
        language, tokenize: see :func:`make_metrics`.

    Raises:
        LengthMismatchError: other numbers of hypotheses than of references.
        InputError: no sentences, or a parameter out of its range.
    """
    _check([hypotheses], references, resamples, seed)
    out = {}
    for name, metric in make_metrics(language, tokenize).items():
        score = float(metric.corpus_score(list(hypotheses), [list(references)]).score)
        if resamples < 2:
            out[name] = MetricScore(score, str(metric.get_signature()))
            continue
        # By the paired bootstrap of one system: the numbers of ``corpus_score(n_bootstrap=...)``, which fails where
        # some resamples score 0 (numbers of two types meet there, of which ``statistics.mean`` takes one only).
        signatures, found = _paired([hypotheses], references, {"metric": metric}, "bs", resamples, seed)
        result = found["metric"][0]
        mean, half = float(result.mean), float(result.ci)
        out[name] = MetricScore(score, signatures["metric"], (mean - half, mean + half))
    return out


def sentence_scores(
    hypotheses: Sequence[str], references: Sequence[str], *, language: str | None = None, tokenize: str | None = None
) -> dict[str, list[float]]:
    """The metrics of each sentence by itself, with sacrebleu's sentence-level defaults (BLEU of the orders it has)."""
    _check([hypotheses], references, 0, 1)
    metrics = make_metrics(language, tokenize)
    metrics["bleu"].effective_order = True
    pairs = list(zip(hypotheses, references, strict=True))
    return {
        name: [float(metric.sentence_score(hypothesis, [reference]).score) for hypothesis, reference in pairs]
        for name, metric in metrics.items()
    }


def paired_translation_tests(
    systems: Sequence[Sequence[str]], references: Sequence[str], *, tests: Sequence[str] = ("randomisation",),
    resamples: int = 1000, seed: int = 12345, language: str | None = None, tokenize: str | None = None,
) -> list[dict[str, dict[str, MetricTest]]]:  # fmt: skip
    """sacrebleu's paired tests of every system against the first: for each of these by metric and test.

    Where there is no difference p is 1; sacrebleu, which counts only trials with a difference greater than the observed
    one, would say 1 / (trials + 1) where no trial has any (equal translations; BLEU 0 of both). ``tests`` are of
    :data:`TESTS`, ``resamples`` their trials or resamples; for the rest see :func:`score_translations`.
    """
    _check(systems, references, resamples, seed)
    if resamples < 1:
        raise InputError("a paired test needs at least one resample", remedy="Give more with --resamples")
    for test in tests:
        if test not in TESTS:
            raise UnknownNameError("paired test", test, TESTS)
    out: list[dict[str, dict[str, MetricTest]]] = [{name: {} for name in METRICS} for _ in systems[1:]]
    for test in tests if out else ():
        metrics = make_metrics(language, tokenize)
        signatures, found = _paired(systems, references, metrics, TESTS[test], resamples, seed)
        for name in METRICS:
            first, *others = found[name]
            for row, other in zip(out, others, strict=True):
                difference = float(other.score) - float(first.score)
                row[name][test] = MetricTest(difference, float(other.p_value) if difference else 1.0, signatures[name])
    return out


def _paired(
    systems: Sequence[Sequence[str]], references: Sequence[str], metrics: dict[str, Any], test: str, resamples: int,
    seed: int,
) -> tuple[dict[str, str], dict[str, Any]]:  # fmt: skip
    """Signatures, and results of all systems, by our names of the metrics."""
    from sacrebleu.significance import PairedTest

    named = [(str(k), list(hypotheses)) for k, hypotheses in enumerate(systems)]
    with _seeded(seed):
        signatures, found = PairedTest(named, metrics, [list(references)], test_type=test, n_samples=resamples)()
    ours = dict(zip(metrics, (name for name in found if name != "System"), strict=True))
    return {k: str(signatures[name]) for k, name in ours.items()}, {k: found[name] for k, name in ours.items()}


def _check(systems: Sequence[Sequence[str]], references: Sequence[str], resamples: int, seed: int) -> None:
    for hypotheses in systems:
        if len(hypotheses) != len(references):
            raise LengthMismatchError(
                f"{len(hypotheses)} translations but {len(references)} references",
                remedy="Give one line for each, empty lines included",
            )
    if not references:
        raise InputError("there is no sentence to score", remedy="Give a text that has one")
    check_resampling(resamples, seed)
    if seed < 1:
        raise InputError(f"sacrebleu takes the seed {seed} for none", remedy="Give a seed of 1 or more")


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """sacrebleu reads its seed from the environment, which all threads share: one of them at a time sets it."""
    with _environment:
        before = os.environ.get(_SEED)
        if before == str(seed) or (before is None and seed == _DEFAULT_SEED):
            yield
            return
        os.environ[_SEED] = str(seed)
        try:
            yield
        finally:
            if before is None:
                del os.environ[_SEED]
            else:
                os.environ[_SEED] = before
