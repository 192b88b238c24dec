"""Translate a text with several models and judge them: sacrebleu, attention against gold, links of their own output.

Attention is read while a model is teacher forced on the references. All heads and modes of each model are counted in
one pass; one is chosen on the dev split and scored on the disjoint test split, all models on the same sentence pairs,
so that they can be tested against the first one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError
from align_eval.files import StrPath, atomic_writer, parse_json, read_lines, sha256_of, short_names
from align_eval.io.resumable import Key, ResumableWriter
from align_eval.models.translation import Decoding, Translation, Translator, load_translator
from align_eval.runs.parallel_text import plain_language
from align_eval.runs.results import file_name, make_folder
from align_eval.runs.sweep import Sweep, split, sweep_testset
from align_eval.scoring import Score
from align_eval.scoring.paired import PairedTest, paired_tests
from align_eval.translation.coverage import Diagnosis, coverage_tests, diagnose, diagnostic_aligner, word_tokenizers
from align_eval.translation.metrics import (
    MetricScore,
    MetricTest,
    make_metrics,
    paired_translation_tests,
    score_translations,
)

if TYPE_CHECKING:
    from align_eval.attribution.matrix import View
    from align_eval.corpora import Corpus
    from align_eval.models.seq2seq import Seq2Seq

BLOCK = 256  # sentences translated, written and journalled at a time
Bars = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True)
class AttentionChoice:
    """Which heads of the cross-attention may be scored; where several are left, the best on the dev split is.

    Attributes:
        layer, head: a number from 1 or ``"mean"``; ``None``: any.
        mode: ``"awi"`` or ``"awo"``; ``None``: any.
        method: how score matrices become links; ``reverse``: each target word to its best source word.
        development: ratio of the sentence pairs that the head is chosen on.
    """

    layer: int | str | None = None
    head: int | str | None = None
    mode: str | None = None
    method: str = "reverse"
    development: float = 0.2


@dataclass(frozen=True)
class AttentionScore:
    """The AER of one model.

    Attributes:
        view: layer, head, alignment mode, chosen from so many ``views``.
        score: over the pairs that the view was not chosen on.
        chosen_on: sentence pairs that it was chosen on; 0 if the user named it.
        left_out: pairs that do not fit some model's window.
        tests: paired tests against the first model, same pairs.
    """

    view: View
    score: Score
    chosen_on: int
    views: int
    left_out: int
    method: str
    tests: dict[str, PairedTest]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        found = self.score.to_json()
        kept = ("precision", "recall", "links", "sure", "possible", "sentences")
        return {
            "layer": self.view.layer, "head": self.view.head, "mode": self.view.reading, "method": self.method,
            "development_sentences": self.chosen_on, "views": self.views, "left_out": self.left_out,
            **{name: found[name] for name in kept},
        }  # fmt: skip


@dataclass(frozen=True)
class TranslateSettings:
    """What is asked for.

    Attributes:
        loading: options of :func:`align_eval.models.load_model` (``device``, ``dtype``, ``source_language``, ...).
        choice: the head whose attention is scored against gold.
        aligner: independent aligner of the models' own translations: a model's name, aligned by ``aligner_method``
            (``None``: its default), or ``eflomal``, ``fast_align`` with options; ``None``: no diagnostics.
        tokenize: sacrebleu's tokenisers of the source and of the translations for the diagnostics; ``None``: the
            words of a source with gold links as they are, else the language's (``13a``, ``zh``, ...).
        punctuation: count punctuation in the diagnostics.
        bleu_tokenize: sacrebleu's tokeniser for BLEU; ``None``: that of the language.
        tests: paired tests of later models against the first.
    """

    decoding: Decoding = field(default_factory=Decoding)
    loading: dict[str, Any] = field(default_factory=dict)
    choice: AttentionChoice = field(default_factory=AttentionChoice)
    aligner: str | None = "offline:e5-small"
    aligner_method: str | None = None
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
        model: its name; of translations that were read from a file the file's.
        decoding: :meth:`align_eval.models.translation.Translator.describe`; of a file its sha256.
        scores: by metric of :data:`align_eval.translation.metrics.METRICS`.
        attention: ``None`` without gold.
        diagnosis: of its own translations; ``None`` without an aligner. ``reference``: of the references.
        against: name of the first model, for those after it; ``tests``, ``coverage_tests``: paired tests against it, by
            metric and test, and by test.
        bleu_tokenize: tokeniser of BLEU that was asked for; ``None``: that of the language.
    """

    text: Corpus
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
    text: Corpus, models: Sequence[str | Seq2Seq], settings: TranslateSettings = TranslateSettings(), *,
    hypotheses: Sequence[Hypothesis] = (), folder: str | os.PathLike[str] | None = None, resume: bool = True,
    bars: Bars | None = None,
) -> list[TranslatedText]:  # fmt: skip
    """Translate ``text`` with each model, one model in memory at a time, and score all of them.

    Args:
        models: names, or models of :func:`align_eval.models.translation.load_translator`.
        hypotheses: translations that exist, of :func:`read_hypotheses`; they come after the models. The first
            translator of all is the one that the others are tested against.
        folder: translations are written here as they come, so that an interrupted run goes on where it stopped.
        resume: take over translations of an earlier run with the same settings.
        bars: makes a progress bar from its name and total.
    """
    if not models and not hypotheses:
        raise InputError("no model and no translations are named", remedy="Give --model, or --hypothesis FILE")
    draw = bars or (lambda what, total: nullcontext(lambda advance: None))
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
        if text.table is not None:
            leave = settings.decoding.on_long != "raise"
            with draw(f"attention of {name}", len(text)) as progress:
                read: dict[str, Any] = {"leave_long": leave, "token_budget": budget, "progress": progress}
                forced.append(forced_counts(text, translator.model, settings.choice, **read))
        done.append((name, translator.describe(), translations))
        del translator
    done += [(one.name, {"file": one.name, "sha256": one.sha256}, one.translations) for one in hypotheses]
    options: dict[str, Any] = {"resamples": settings.resamples, "seed": settings.seed}
    attention = score_forced(forced, settings.choice, tests=settings.tests, **options) if forced else []
    outputs = [[one.text for one in translations] for _, _, translations in done]
    diagnoses: list[Diagnosis] = []
    if aligner is not None:
        with draw("aligning translations", len(text) * (1 + len(outputs))) as progress:
            diagnoses = diagnose(
                text, [list(text.target_texts), *outputs], aligner, tokenize, punctuation=settings.punctuation,
                progress=progress, **options,
            )  # fmt: skip
    metric: dict[str, Any] = {**options, "language": text.target_language, "tokenize": settings.bleu_tokenize}
    scores = [score_translations(output, text.target_texts, **metric) for output in outputs]
    tested: list[dict[str, dict[str, MetricTest]]] = [{} for _ in outputs]
    covered: list[dict[str, PairedTest]] = [{} for _ in outputs]
    if settings.resamples and settings.tests:
        tested[1:] = paired_translation_tests(outputs, text.target_texts, tests=settings.tests, **metric)
        for k, later in enumerate(diagnoses[2:], 1):
            covered[k] = coverage_tests(diagnoses[1].coverage, later.coverage, tests=settings.tests, **options)
    return [
        TranslatedText(
            text, name, described, translations, scores[k], attention[k] if k < len(attention) else None,
            diagnoses[k + 1] if diagnoses else None, diagnoses[0] if diagnoses else None,
            done[0][0] if k else None, tested[k], settings.bleu_tokenize, covered[k],
        )
        for k, (name, described, translations) in enumerate(done)
    ]  # fmt: skip


def _translator(text: Corpus, named: str | Seq2Seq, settings: TranslateSettings) -> Translator:
    """The model, loaded for the languages of the text (or those that the user named)."""
    loading = dict(settings.loading)
    languages = (
        loading.pop("source_language", None) or text.source_language or None,
        loading.pop("target_language", None) or text.target_language or None,
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


def translate_text(
    text: Corpus, translator: Translator, *, path: Path | None = None, resume: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[Translation]:  # fmt: skip
    """Translate all sentences, in blocks that are written to ``path`` (JSON lines) as they are done.

    A run with the same settings goes on after the last block, and takes over a finished file. What is written is the
    same as without an interruption.
    """
    ids = [pair.id for pair in text.pairs]
    tell = progress or (lambda advance: None)
    if path is None:
        return translator.translate(text.source_texts, ids, progress=progress)
    key = Key.of(
        **translator.describe(), text=text.checksum, sentences=len(text), reverse=text.reversed,
        detokenize=text.detokenize, prefix=[int(i) for i in translator.before],
        batch_tokens=translator.decoding.token_budget, block=BLOCK,
    )  # fmt: skip
    meta = Path(f"{path}.meta.json")
    if resume and _finished(path, meta, key):
        tell(len(text))
        return _read(path)
    out = ResumableWriter(path, key, resume=resume)
    try:
        tell(out.lines)
        for start in range(out.lines, len(text), BLOCK):
            part = slice(start, start + BLOCK)
            found = translator.translate(text.source_texts[part], ids[part], progress=progress)
            out.append([json.dumps(asdict(one), ensure_ascii=False) for one in found])
    except BaseException:
        out.close()
        raise
    out.finish()
    with atomic_writer(meta) as stream:
        json.dump({"settings": key.parts, "sha256": sha256_of(path)}, stream, indent=2, ensure_ascii=False)
        stream.write("\n")
    return _read(path)


def _finished(path: Path, meta: Path, key: Key) -> bool:
    """Whether ``path`` holds all translations of a run with these settings."""
    try:
        known = parse_json(meta.read_text("utf-8"))
        return bool(known["settings"] == key.parts and known["sha256"] == sha256_of(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _read(path: Path) -> list[Translation]:
    return [Translation(**json.loads(line)) for line in path.read_text("utf-8").split("\n") if line]


@dataclass(frozen=True)
class Hypothesis:
    """The translations of a file, one a line; its name is with folders where two files have the same."""

    name: str
    translations: list[Translation] = field(repr=False)
    sha256: str


def read_hypotheses(paths: Sequence[StrPath], sentences: int, limit: int | None = None) -> list[Hypothesis]:
    """Read files of translations of so many sentences, a line each, empty lines included; the first ``limit`` of them.

    Raises:
        LengthMismatchError: a file has more or fewer lines.
        InputError: the same file twice, or standard input.
    """
    names = [os.fspath(path) for path in paths]
    if "-" in names:
        raise InputError("translations are read from files, not from standard input", remedy="Name a file")
    if len(set(names)) != len(names):
        raise InputError("the same file of translations is named twice", remedy="Name each file once")
    out = []
    for name, label in zip(names, short_names(names), strict=True):
        lines = [line for _, line in read_lines(name)]
        if len(lines) != sentences:
            raise LengthMismatchError(
                f"{len(lines)} translations but {sentences} sentence pairs", file=name,
                remedy="Give one line for each sentence pair, empty lines included",
            )  # fmt: skip
        translations = [Translation(line, pieces=1 if line else 0) for line in lines[:limit]]
        out.append(Hypothesis(label, translations, sha256_of(name)))
    return out


def forced_counts(
    text: Corpus, model: Seq2Seq, choice: AttentionChoice, *, leave_long: bool = False, **options: Any
) -> Sweep:
    """Count the links of every head and mode of ``choice`` against gold, pairs over the window left out or refused."""
    return sweep_testset(
        replace(text, name=text.base_name), model, layers="all" if choice.layer is None else [choice.layer],
        heads=("all", "mean") if choice.head is None else [choice.head],
        modes=None if choice.mode is None else [choice.mode], method=choice.method,
        on_long="leave" if leave_long else "raise", **options,
    )  # fmt: skip


def score_forced(
    models: Sequence[Sweep], choice: AttentionChoice, *, tests: Sequence[str] = ("randomisation",),
    resamples: int = 1000, seed: int = 12345,
) -> list[AttentionScore]:  # fmt: skip
    """Choose a head of each model and score it, all models on the same pairs; later ones are tested against the first.

    Raises:
        InputError: the dev split or the test split would be empty.
    """
    common = np.logical_and.reduce([model.fits for model in models])
    development, test = np.empty(0, dtype=np.int64), np.arange(len(common))
    choose = any(len(model.views) > 1 for model in models)
    if choose:
        development, test = split(len(common), choice.development, seed)
    development, test = development[common[development]], test[common[test]]
    if not len(test) or (choose and not len(development)):
        raise InputError(
            "too few sentence pairs fit the windows of all models to choose a view and score it",
            remedy="Name the view with --layer, --head and --mode, or leave models out",
        )
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    out: list[AttentionScore] = []
    first: NDArray[Any] | None = None
    for sweep in models:
        several = len(sweep.views) > 1
        best = sweep.best(development) if several else 0
        rows = sweep.counts[best, test]
        tested = {}
        if first is not None and resamples and tests:
            tested = paired_tests(first, rows, tests=tests, **options)
        first = rows if first is None else first
        score = sweep.score(best, test, **options)
        if "randomisation" in tested:
            score = replace(score, signature=score.signature.extend(ar=resamples))
        chosen_on = len(development) if several else 0
        left = int((~common).sum())
        out.append(AttentionScore(sweep.views[best], score, chosen_on, len(sweep.views), left, choice.method, tested))
    return out
