"""The verbs of the command line as Python functions: align, score, evaluate."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from align_eval.aligners import AlignerSettings, make_aligner, needs_model
from align_eval.aligners.heads import attention_settings
from align_eval.corpora import SentencePair, TestSet, load_testset
from align_eval.errors import AlignEvalWarning
from align_eval.link_table import LinkTable
from align_eval.links import GoldLinks, Links
from align_eval.runs.align_file import align_stream
from align_eval.runs.evaluate import Evaluation, aligners_for, evaluate_testset
from align_eval.scoring import Score, Signature
from align_eval.scoring import score as score_tables

if TYPE_CHECKING:
    from align_eval.models.layout import PairModel
    from align_eval.models.vectors import VectorModel

    Model = VectorModel | PairModel

Sentence = str | Sequence[str]


def as_pairs(pairs: Iterable[SentencePair | tuple[Sentence, Sentence]] | TestSet) -> Iterable[SentencePair]:
    """Sentence pairs from pairs, from a test set, or from ``(source, target)`` of texts or lists of words.

    The words of a text are what single ASCII spaces separate.
    """
    if isinstance(pairs, TestSet):
        yield from pairs.pairs
        return
    for number, pair in enumerate(pairs, 1):
        if isinstance(pair, SentencePair):
            yield pair
        else:
            yield SentencePair(str(number), _words(pair[0]), _words(pair[1]))


def _words(sentence: Sentence) -> tuple[str, ...]:
    return tuple(filter(None, sentence.split(" "))) if isinstance(sentence, str) else tuple(sentence)


def align(
    pairs: Iterable[SentencePair | tuple[Sentence, Sentence]] | TestSet,
    model: str | Model = "offline:e5-small",
    method: str | None = None,
    layer: int | None = None,
    *,
    subword: str = "any",
    on_long: str = "window",
    attention: str | None = None,
    mode: str | None = None,
    attribution: str = "attention",
    symmetrize: str | None = None,
    choose_on: str | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
    **options: Any,
) -> LinkTable:
    """Align sentence pairs with a model of any family: by its hidden states, or by one of its attention heads.

    Args:
        pairs: a test set, a bitext, or ``(source, target)`` pairs of texts or lists of words.
        model: a model of :func:`align_eval.load_model` or its name. Hidden states are those of an encoder, of the
            encoder of an encoder-decoder model, or of a decoder-only model.
        method: an extraction method with its options, such as ``itermax`` or ``softmax:threshold=0.01``, or
            ``simalign:itermax``; ``None``: ``argmax``, or ``reverse`` for attention.
        layer: 0 (embeddings) to the model's last; ``None``: an offline model's own, else two thirds of the way up.
        subword: ``any``: words are linked if any of their sub-words are; ``mean``: mean vector of a word's sub-words.
        on_long: what is done with pairs over the model's window: ``window`` (overlapping windows), ``raise``, or
            ``leave`` (no links). Pairs that are left out are told by an :class:`~align_eval.errors.AlignEvalWarning`.
        attention: an attention head such as ``"L6H1"`` (layer and head from 1; ``"L6"``: the mean over its heads), or
            ``"auto"``: the head that aligns ``choose_on`` best; ``None``: hidden states.
        mode: ``awo`` or ``awi``; for encoders ``both``, ``src2tgt`` or ``tgt2src``. ``None``: ``awi`` or ``both``, with
            ``"auto"`` the best.
        attribution: another attribution method in place of attention weights, such as ``norms`` or ``alti``.
        symmetrize: combine both directions of attention: ``grow-diag``, ``intersection:both``, ...
        choose_on: a test set's name; ``None``: the project's own one of the two languages.
        source_language, target_language: language codes, for models of several languages; ``None``: the test set's.
        options: passed to :func:`align_eval.load_model`: ``device``, ``dtype``, ``revision``, ...

    Returns:
        one :class:`Links` a pair, 0-based, with scores (``table[k]``); a pair with an empty side has no links.

    Raises:
        UnknownNameError: no such model or method.
        InputError: a layer or head that the model does not have.
        SentenceTooLongError: only with ``on_long="raise"``.
        NonFiniteError: the model gave NaN or infinity.
    """
    asked = attention_settings(attention, mode, attribution, symmetrize, choose_on)
    method = method or ("argmax" if asked is None else "reverse")
    if isinstance(pairs, TestSet):
        source_language = source_language or pairs.source_language or None
        target_language = target_language or pairs.target_language or None
    settings = AlignerSettings(
        model, (method,), () if layer is None else (layer,), subword, on_long, options=dict(options), attention=asked,
        source_language=source_language, target_language=target_language,
    )  # fmt: skip
    if asked is not None and asked.head is None:
        from align_eval.runs.choose_head import choose_head, testset_to_choose_on

        settings = choose_head(settings, testset_to_choose_on(choose_on, source_language, target_language)).settings
    aligner = make_aligner(settings)
    found: list[Links] = []
    for block in align_stream(aligner, as_pairs(pairs)):
        found.extend(block)
    if left := aligner.take_long()["left_out"]:
        warnings.warn(
            f"{left} of {len(found)} pairs are longer than the model's window and have no links",
            AlignEvalWarning,
            stacklevel=2,
        )
    table = LinkTable.from_links(found)
    table.provenance = aligner.signature(aligner.systems[0])
    return table


def score(
    gold: TestSet | LinkTable | Sequence[GoldLinks | Links],
    hypothesis: LinkTable | Sequence[Links],
    **options: Any,
) -> Score:
    """Score links against gold; corpus-level, in percent, with bootstrap intervals.

    Args:
        gold: a test set, a table, or one :class:`GoldLinks` a pair.
        hypothesis: a table or one :class:`Links` a pair, 0-based.
        options: ``resamples``, ``seed``, ``alpha``, ``confidence``, ``signature`` of
            :func:`align_eval.scoring.score`. By default the signature names the test set and, for links of
            :func:`align`, how they came about.

    Raises:
        EmptyGoldError: the gold has no sentence pair or no link.
        LengthMismatchError: gold and hypothesis have different numbers of sentence pairs.
    """
    if not isinstance(hypothesis, LinkTable):
        hypothesis = LinkTable.from_links(hypothesis)
    named: dict[str, str | int] = {}
    if isinstance(gold, TestSet):
        named = {"set": gold.name, "sha256": gold.checksum[:8], "base": gold.base}
        gold = gold.gold
    elif not isinstance(gold, LinkTable):
        gold = LinkTable.from_links(gold)
    options.setdefault("signature", Signature({"sym": "none", **named, **hypothesis.provenance}))
    return score_tables(gold, hypothesis, **options)


def evaluate(
    testsets: Sequence[str | TestSet] | str | TestSet,
    model: str | Model = "offline:e5-small",
    methods: Sequence[str] = (),
    layers: Sequence[int] = (),
    *,
    subword: str = "any",
    on_long: str = "window",
    attention: str | None = None,
    mode: str | None = None,
    attribution: str = "attention",
    symmetrize: str | None = None,
    choose_on: str | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
    model_options: dict[str, Any] | None = None,
    **options: Any,
) -> list[Evaluation]:
    """Align and score test sets with every method at every layer; the model runs once a test set.

    Args:
        testsets: names or test sets; :func:`align_eval.corpora.make_testset` makes one of your own data.
        model, subword, on_long, attention, mode, attribution, symmetrize, choose_on: see :func:`align`.
        methods: extraction methods; none: ``argmax``, or ``reverse`` for attention.
        layers: empty: the model's default layer.
        source_language, target_language: in place of the test set's.
        model_options: passed to :func:`align_eval.load_model`.
        options: passed to :func:`align_eval.runs.evaluate.evaluate_testset`.
    """
    if isinstance(testsets, str | TestSet):
        testsets = [testsets]
    loaded = [load_testset(t) if isinstance(t, str) else t for t in testsets]
    asked = attention_settings(attention, mode, attribution, symmetrize, choose_on)
    model_options = model_options or {}
    chosen = tuple(methods) or ("argmax" if asked is None else "reverse",)
    settings = AlignerSettings(
        model, chosen, tuple(layers), subword, on_long, options=model_options, attention=asked,
        source_language=source_language, target_language=target_language,
    )  # fmt: skip
    if isinstance(model, str) and len(loaded) > 1 and needs_model(chosen):
        from align_eval.models import load_model

        settings = replace(settings, model=load_model(model, **model_options))
    return [
        e
        for testset, aligner, _ in aligners_for(settings, loaded, choose_on)
        for e in evaluate_testset(testset, aligner, **options)
    ]
