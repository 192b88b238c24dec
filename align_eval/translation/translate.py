"""Translate a text with several models and judge them: sacrebleu, attention against gold, links of their own output."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError
from align_eval.models.translation import Decoding, Translation, Translator, load_translator
from align_eval.runs.parallel_text import ParallelText, plain_language
from align_eval.runs.results import file_name, make_folder
from align_eval.runs.sweep import Sweep
from align_eval.translation.attention import AttentionChoice, AttentionScore, forced_counts, score_forced
from align_eval.translation.coverage import Diagnosis, coverage_tests, diagnose, diagnostic_aligner, word_tokenizers
from align_eval.translation.metrics import (
    MetricScore,
    MetricTest,
    make_metrics,
    paired_translation_tests,
    score_translations,
)
from align_eval.translation.texts import translate_text

if TYPE_CHECKING:
    from align_eval.models.seq2seq import Seq2Seq
    from align_eval.scoring.paired import PairedTest
    from align_eval.translation.texts import Hypothesis

Bars = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True)
class TranslateSettings:
    """What is asked for.

    Attributes:
        decoding: how translations are searched for.
        loading: options of :func:`align_eval.models.load_model` (``device``, ``dtype``, ``source_language``, ...).
        choice: the view of the attention that is scored against gold.
        aligner: independent aligner of the models' own translations: an encoder's name, or ``eflomal``,
            ``fast_align`` with options; ``None``: no diagnostics.
        aligner_method: extraction method, if ``aligner`` is an encoder.
        tokenize: sacrebleu's tokenisers of the source and of the translations for the diagnostics; ``None``: the
            words of a source with gold links as they are, else the language's (``13a``, ``zh``, ...).
        punctuation: count punctuation in the diagnostics.
        bleu_tokenize: sacrebleu's tokeniser for BLEU; ``None``: that of the language.
        resamples, seed: of intervals and tests.
        tests: paired tests of later models against the first.
    """

    decoding: Decoding = field(default_factory=Decoding)
    loading: dict[str, Any] = field(default_factory=dict)
    choice: AttentionChoice = field(default_factory=AttentionChoice)
    aligner: str | None = "offline:e5-small"
    aligner_method: str = "argmax"
    tokenize: tuple[str | None, str | None] = (None, None)
    punctuation: bool = False
    bleu_tokenize: str | None = None
    resamples: int = 1000
    seed: int = 12345
    tests: tuple[str, ...] = ("randomisation",)


@dataclass(frozen=True)
class TranslatedText:
    """One model on one text.

    Attributes:
        text: the text.
        model: its name; of translations that were read from a file the file's.
        decoding: :meth:`align_eval.models.translation.Translator.describe`; of a file its sha256.
        translations: one a sentence.
        scores: by metric of :data:`align_eval.translation.metrics.METRICS`.
        attention: AER of its attention; ``None`` without gold.
        diagnosis: of its own translations; ``None`` without an aligner. ``reference``: of the references.
        against: name of the first model, for those after it.
        tests: sacrebleu's paired tests against the first, by metric and test.
        coverage_tests: paired tests of the words without a link against the first, by test.
        bleu_tokenize: tokeniser of BLEU that was asked for; ``None``: that of the language.
    """

    text: ParallelText
    model: str
    decoding: dict[str, Any]
    translations: list[Translation] = field(repr=False)
    scores: dict[str, MetricScore]
    attention: AttentionScore | None = None
    diagnosis: Diagnosis | None = None
    reference: Diagnosis | None = None
    against: str | None = None
    tests: dict[str, dict[str, MetricTest]] = field(default_factory=dict)
    bleu_tokenize: str | None = None
    coverage_tests: dict[str, PairedTest] = field(default_factory=dict)

    @property
    def hypotheses(self) -> list[str]:
        """The translations' texts."""
        return [one.text for one in self.translations]


def translate_and_score(
    text: ParallelText,
    models: Sequence[str | Seq2Seq],
    settings: TranslateSettings = TranslateSettings(),
    *,
    hypotheses: Sequence[Hypothesis] = (),
    folder: str | os.PathLike[str] | None = None,
    resume: bool = True,
    bars: Bars | None = None,
) -> list[TranslatedText]:
    """Translate ``text`` with each model, one model in memory at a time, and score all of them.

    Args:
        text: of :func:`align_eval.runs.parallel_text.open_text`.
        models: names, or models of :func:`align_eval.models.translation.load_translator`.
        settings: what is asked for.
        hypotheses: translations that exist, of :func:`align_eval.translation.texts.read_hypotheses`; they come after
            the models. The first translator of all is the one that the others are tested against.
        folder: translations are written here as they come, so that an interrupted run goes on where it stopped.
        resume: take over translations of an earlier run with the same settings.
        bars: makes a progress bar from its name and total.

    Raises:
        InputError: no model, wrong languages or options; ModelError: a model that does not translate;
        SentenceTooLongError: a sentence over a model's window; and what the parts raise.
    """
    if not models and not hypotheses:
        raise InputError("no model and no translations are named", remedy="Give --model, or --hypothesis FILE")
    draw = bars or _no_bar
    budget = settings.decoding.token_budget
    aligner = None
    if settings.aligner is not None:
        kept = {key: value for key, value in settings.loading.items() if key in ("device", "trust_remote_code")}
        aligner = diagnostic_aligner(settings.aligner, settings.aligner_method, token_budget=budget, **kept)
    tokenize = word_tokenizers(text, settings.tokenize) if aligner else ("none", "none")
    make_metrics(text.target_language, settings.bleu_tokenize)  # what is wrong with them is said before hours of work
    done: list[tuple[str, dict[str, Any], list[Translation]]] = []
    forced: list[Sweep] = []
    for number, named in enumerate(models, 1):
        translator = _translator(text, named, settings)
        name = translator.model.name
        path = None if folder is None else make_folder(folder) / f"{file_stem(number, name)}.jsonl"
        with draw(f"translating with {name}", len(text)) as progress:
            translations = translate_text(text, translator, path=path, resume=resume, progress=progress)
        if text.gold is not None:
            with draw(f"attention of {name}", len(text)) as progress:
                forced.append(
                    forced_counts(
                        text, translator.model, settings.choice, leave_long=settings.decoding.on_long != "raise",
                        token_budget=budget, progress=progress,
                    )
                )  # fmt: skip
        done.append((name, translator.describe(), translations))
        del translator
    done += [(one.name, {"file": one.name, "sha256": one.sha256}, one.translations) for one in hypotheses]
    attention: list[AttentionScore] = []
    options: dict[str, Any] = {"resamples": settings.resamples, "seed": settings.seed}
    if forced:
        attention = score_forced(forced, settings.choice, tests=settings.tests, **options)
    outputs = [[one.text for one in translations] for _, _, translations in done]
    diagnoses: list[Diagnosis] = []
    if aligner is not None:
        with draw("aligning translations", len(text) * (1 + len(outputs))) as progress:
            diagnoses = diagnose(
                text, [list(text.references), *outputs], aligner, tokenize, punctuation=settings.punctuation,
                progress=progress, **options,
            )  # fmt: skip
    metric: dict[str, Any] = {**options, "language": text.target_language, "tokenize": settings.bleu_tokenize}
    scores = [score_translations(output, text.references, **metric) for output in outputs]
    tested: list[dict[str, dict[str, MetricTest]]] = [{} for _ in outputs]
    if settings.resamples and settings.tests:
        tested[1:] = paired_translation_tests(outputs, text.references, tests=settings.tests, **metric)
    covered: list[dict[str, PairedTest]] = [{} for _ in outputs]
    if settings.resamples and settings.tests and diagnoses:
        covered[1:] = [
            coverage_tests(diagnoses[1].coverage, later.coverage, tests=settings.tests, **options)
            for later in diagnoses[2:]
        ]
    return [
        TranslatedText(
            text, name, described, translations, scores[k], attention[k] if k < len(attention) else None,
            diagnoses[k + 1] if diagnoses else None, diagnoses[0] if diagnoses else None,
            done[0][0] if k else None, tested[k], settings.bleu_tokenize, covered[k],
        )
        for k, (name, described, translations) in enumerate(done)
    ]  # fmt: skip


def _translator(text: ParallelText, named: str | Seq2Seq, settings: TranslateSettings) -> Translator:
    """The model, loaded for the languages of the text (or those that the user named)."""
    loading = dict(settings.loading)
    languages = (
        loading.pop("source_language", None) or text.source_language,
        loading.pop("target_language", None) or text.target_language,
    )
    if isinstance(named, str):
        model = load_translator(named, source_language=languages[0], target_language=languages[1], **loading)
    else:
        model = named.with_languages(*languages, source_prefix=loading.get("source_prefix"))
    fixed = plain_language(getattr(model.tokenizer, "source_lang", None))
    if not model.codes and fixed and text.source_language and fixed != text.source_language:
        raise InputError(
            f"{model.name} translates from {fixed}, and the text is {text.source_language}",
            remedy="Give --reverse to translate the other side, or name another model",
        )
    return Translator(model, settings.decoding)


def file_stem(number: int, model: str) -> str:
    """The beginning of the names of a model's files: its number from 1 and the last part of its name.

    >>> file_stem(1, "owner/opus-mt-de-en"), file_stem(2, "offline:tiny-deen")
    ('1.opus-mt-de-en', '2.offline-tiny-deen')
    """
    return file_name(str(number), model.rstrip("/").rpartition("/")[2])


@contextmanager
def _no_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda advance: None
