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

#: Names of the metrics, and whether more is better.
METRICS = {"bleu": True, "chrf": True, "ter": False}
#: Names of the paired tests, as :data:`align_eval.scoring.paired.TESTS`, and sacrebleu's names of them.
_SEED, _DEFAULT_SEED = "SACREBLEU_SEED", 12345
_environment = threading.RLock()
TESTS = {"bootstrap": "bs", "randomisation": "ar"}
# Languages written without spaces: sacrebleu's tokeniser for BLEU, and TER's support of their characters.
_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
_UNSPACED = ("zh", "ja")


@dataclass(frozen=True)
class MetricScore:
    """One metric of one system.

    Attributes:
        score: as sacrebleu scales it: 0 to 100; TER may exceed 100.
        signature: sacrebleu's.
        ci: (low, high), 95 %; ``None`` without resamples.
        mean: of the resamples, the middle of ``ci``.
    """

    score: float
    signature: str
    ci: tuple[float, float] | None = None
    mean: float | None = None


@dataclass(frozen=True)
class MetricTest:
    """One paired test of a system against the first, by one metric.

    Attributes:
        test: ``bootstrap`` or ``randomisation``.
        difference: this system minus the first.
        p_value: two-sided, sacrebleu's.
        signature: sacrebleu's, with the number of trials and the seed.
    """

    test: str
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

    Args:
        language: ISO 639-1 code of the references.
        tokenize: sacrebleu's tokeniser for BLEU; ``None``: :func:`default_tokenizer`.

    Raises:
        UnknownNameError: no such tokeniser.
        InputError: it needs a package that is not installed.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    name = tokenize or default_tokenizer(language)
    if name not in BLEU.TOKENIZERS:
        raise UnknownNameError("tokeniser of BLEU", name, BLEU.TOKENIZERS)
    from align_eval.corpora.tokenize import load_tokenizer

    load_tokenizer(name)  # with our errors for what is not installed
    unspaced = language in _UNSPACED
    return {
        "bleu": BLEU(tokenize=name, force=True),
        "chrf": CHRF(),
        "ter": TER(normalized=unspaced, asian_support=unspaced),
    }


def score_translations(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 12345,
    language: str | None = None,
    tokenize: str | None = None,
) -> dict[str, MetricScore]:
    """BLEU, chrF and TER of a corpus, in the order of :data:`METRICS`.

    Args:
        hypotheses, references: one line of text a sentence.
        resamples: of the intervals; 0: none.
        seed: of the resamples, at least 1 (sacrebleu takes 0 for no seed in its paired tests).
        language, tokenize: see :func:`make_metrics`.

    Raises:
        LengthMismatchError: other numbers of hypotheses than of references.
        InputError: no sentences, or a parameter out of its range.
        UnknownNameError: no such tokeniser.
    """
    _check([hypotheses], references, resamples, seed)
    out = {}
    for name, metric in make_metrics(language, tokenize).items():
        found = metric.corpus_score(list(hypotheses), [list(references)])
        if resamples < 2:
            out[name] = MetricScore(float(found.score), str(metric.get_signature()))
            continue
        mean, half, signature = _interval(metric, hypotheses, references, resamples, seed)
        out[name] = MetricScore(float(found.score), signature, (mean - half, mean + half), mean)
    return out


def _interval(
    metric: Any, hypotheses: Sequence[str], references: Sequence[str], resamples: int, seed: int
) -> tuple[float, float, str]:
    """Mean, half width and signature by sacrebleu's paired bootstrap, of one system.

    These are the numbers of ``corpus_score(n_bootstrap=...)``, which fails where some resamples score 0 (there numbers
    of two types meet, of which ``statistics.mean`` takes one only).
    """
    from sacrebleu.significance import PairedTest

    with _seeded(seed):
        signatures, found = PairedTest(
            [("system", list(hypotheses))], {"metric": metric}, [list(references)], test_type="bs", n_samples=resamples
        )()
    [name] = signatures
    result: Any = found[name][0]
    return float(result.mean), float(result.ci), str(signatures[name])


def sentence_scores(
    hypotheses: Sequence[str], references: Sequence[str], *, language: str | None = None, tokenize: str | None = None
) -> dict[str, list[float]]:
    """The metrics of each sentence by itself, with sacrebleu's sentence-level defaults (BLEU of the orders it has).

    Raises:
        LengthMismatchError, UnknownNameError, InputError: as :func:`score_translations`.
    """
    _check([hypotheses], references, 0, 1)
    metrics = make_metrics(language, tokenize)
    metrics["bleu"].effective_order = True
    pairs = list(zip(hypotheses, references, strict=True))
    return {
        name: [float(metric.sentence_score(hypothesis, [reference]).score) for hypothesis, reference in pairs]
        for name, metric in metrics.items()
    }


def paired_translation_tests(
    systems: Sequence[Sequence[str]],
    references: Sequence[str],
    *,
    tests: Sequence[str] = ("randomisation",),
    resamples: int = 1000,
    seed: int = 12345,
    language: str | None = None,
    tokenize: str | None = None,
) -> list[dict[str, dict[str, MetricTest]]]:
    """sacrebleu's paired tests of every system against the first.

    Where there is no difference p is 1; sacrebleu, which counts only trials with a difference greater than the observed
    one, would say 1 / (trials + 1) where no trial has any (equal translations; BLEU 0 of both).

    Args:
        systems: the hypotheses of each.
        references: the references.
        tests: names of :data:`TESTS`.
        resamples: trials or resamples, at least 1.
        seed, language, tokenize: see :func:`score_translations`.

    Returns:
        for each system after the first: by metric and test.

    Raises:
        LengthMismatchError: other numbers of hypotheses than of references.
        UnknownNameError: no such test or tokeniser.
        InputError: no resamples, or a parameter out of its range.
    """
    from sacrebleu.significance import PairedTest

    _check(systems, references, resamples, seed)
    if resamples < 1:
        raise InputError("a paired test needs at least one resample", remedy="Give more with --resamples")
    for test in tests:
        if test not in TESTS:
            raise UnknownNameError("paired test", test, TESTS)
    out: list[dict[str, dict[str, MetricTest]]] = [{name: {} for name in METRICS} for _ in systems[1:]]
    if not out:
        return out
    named = [(str(k), list(hypotheses)) for k, hypotheses in enumerate(systems)]
    for test in tests:
        with _seeded(seed):
            signatures, found = PairedTest(
                named, make_metrics(language, tokenize), [list(references)], test_type=TESTS[test], n_samples=resamples
            )()
        names = [name for name in found if name != "System"]
        for name, theirs in zip(METRICS, names, strict=True):
            results: Any = found[theirs]
            for row, result in zip(out, results[1:], strict=True):
                difference = float(result.score) - float(results[0].score)
                p_value = float(result.p_value) if difference else 1.0
                row[name][test] = MetricTest(test, difference, p_value, str(signatures[theirs]))
    return out


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
