"""The verbs of the command line as Python functions: align, score, symmetrize, evaluate."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from align_eval.aligners import AlignerSettings, default_method, make_aligner, needs_model
from align_eval.aligners.heads import attention_settings
from align_eval.corpora import Corpus, load_testset, testset_names
from align_eval.corpora.matching import Matching, match_tables
from align_eval.corpora.plain import Pairs, as_gold, as_pairs, as_table
from align_eval.errors import AlignEvalWarning, InputError
from align_eval.links import Links
from align_eval.links.symmetrization import agreement, symmetrize_table
from align_eval.links.symmetrization import symmetrize as symmetrize_links
from align_eval.links.table import LinkTable
from align_eval.runs.align_file import align_stream
from align_eval.runs.evaluate import Evaluations, aligners_for, choose_head, evaluate_testset, testset_to_choose_on
from align_eval.runs.symmetrize_file import combined_provenance
from align_eval.scoring import Score, Signature
from align_eval.scoring import score as score_tables
from align_eval.scoring.agreement import Agreement
from align_eval.scoring.agreement import agree as agreement_of
from align_eval.scoring.checks import prepare
from align_eval.scoring.link_scores import LinkScores, link_scores

if TYPE_CHECKING:
    from align_eval.models.pairs import PairModel
    from align_eval.models.vectors import VectorModel

    Model = VectorModel | PairModel


def align(
    pairs: Pairs,
    model: str | Model = "offline:e5-small",
    method: str | None = None,
    layer: int | None = None,
    *,
    subword: str = "any",
    lone_marks: str | None = None,
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
        pairs: a test set or its name, a bitext or the path of one, or ``(source, target)`` pairs of texts or lists of
            words; see :func:`align_eval.corpora.plain.as_pairs`.
        model: a model of :func:`align_eval.load_model` or its name. Hidden states are those of an encoder, of the
            encoder of an encoder-decoder model, or of a decoder-only model.
        method: an extraction method with its options, such as ``itermax`` or ``softmax:threshold=0.01``, or
            ``simalign:itermax``, or ``refined`` (a trained aligner; ``refined:path=FOLDER``: your own). ``None``:
            ``refined`` for ``offline:e5-small`` unless ``layer``, ``subword`` or ``lone_marks`` are given, ``argmax``
            for other models, ``reverse`` for attention.
        layer: 0 (embeddings) to the model's last; ``None``: an offline model's own, else two thirds of the way up.
        subword: ``any``: words are linked if any of their subwords are; ``mean``: mean vector of a word's subwords.
        lone_marks: ``cjk``, ``drop`` or ``keep``: which words go without the lone ``▁`` that SentencePiece puts before
            them; ``None``: ``cjk``, those with Chinese characters or kana.
        on_long: what is done with pairs over the model's window: ``window`` (overlapping windows), ``raise``, or
            ``leave`` (no links). Pairs left out are reported by an :class:`~align_eval.errors.AlignEvalWarning`.
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
        InputError: a layer or head that the model does not have, or something else than sentence pairs.
        SentenceTooLongError: only with ``on_long="raise"``.
        NonFiniteError: the model gave NaN or infinity.
    """
    if isinstance(model, list | tuple):
        raise InputError("the model is a list", remedy="Give pairs as one list, zip(sources, targets), then the model")
    if isinstance(pairs, str) and pairs in testset_names() and not os.path.isfile(pairs):
        pairs = load_testset(pairs)
    sentences = as_pairs(pairs)
    asked = attention_settings(attention, mode, attribution, symmetrize, choose_on)
    layers = () if layer is None else (layer,)
    method = method or default_method(model, layers=layers, subword=subword, lone_marks=lone_marks, attention=asked)
    if isinstance(pairs, Corpus):
        source_language = source_language or pairs.source_language or None
        target_language = target_language or pairs.target_language or None
    settings = AlignerSettings(
        model, (method,), layers, subword, on_long, options=dict(options), attention=asked,
        source_language=source_language, target_language=target_language, lone_marks=lone_marks,
    )  # fmt: skip
    if asked is not None and asked.head is None:
        settings, _ = choose_head(settings, testset_to_choose_on(choose_on, source_language, target_language))
    aligner = make_aligner(settings)
    found = [links for block in align_stream(aligner, sentences) for links in block]
    if left := aligner.take_long()["left_out"]:
        note = f"{left} of {len(found)} pairs are longer than the model's window and have no links"
        warnings.warn(AlignEvalWarning(note), stacklevel=2)
    table = LinkTable.from_links(found)
    table.provenance = aligner.signature(aligner.systems[0])
    return table


def score(
    gold: Any,
    hypothesis: Any,
    *,
    missing_sentences: str = "raise",
    unannotated: str = "count",
    first: int | None = None,
    **options: Any,
) -> Score:
    """Score links against gold; corpus-level, in percent, with bootstrap intervals.

    Args:
        gold: a test set or its name, a file of gold links, or gold links in any form of ``hypothesis``; text such as
            ``"0-0 1p2"``, :class:`GoldLinks` and ``{"sure": ..., "possible": ...}`` tell sure from possible links.
        hypothesis: a table, a file of links, or one item a sentence pair: :class:`Links`, text such as ``"0-0 1-2"``, a
            list of ``(i, j)``. Indices count from 0. See :func:`align_eval.corpora.plain.as_table`.
        missing_sentences, unannotated, first: see :func:`align_eval.scoring.systems.score_files`. Sentence pairs are
            matched by name where both sides name them.
        options: ``resamples``, ``seed``, ``alpha``, ``confidence``, ``signature`` of
            :func:`align_eval.scoring.score`. By default the signature names the test set and how the links came
            about, where that is known.

    An :class:`~align_eval.errors.AlignEvalWarning` tells of sentence pairs without gold in which links count as wrong,
    and of another index base or side order that would give an AER lower by more than 15 points.

    Raises:
        InputError: something that is no links.
        UnknownNameError: ``gold`` is neither a file nor a test set.
        EmptyGoldError: the gold has no sentence pair or no link.
        LengthMismatchError: gold and hypothesis have different sentence pairs.
    """
    table, testset = as_gold(gold)
    links = as_table(hypothesis, "the hypothesis")
    named: dict[str, str | int] = {}
    if testset is not None:
        named = {"set": testset.name, "sha256": testset.checksum[:8], "base": testset.base}
    prepared = prepare(table, links, missing_sentences, unannotated, first)
    for note in prepared.notes:
        warnings.warn(AlignEvalWarning(note), stacklevel=2)
    signature = Signature({"sym": "unknown", **named, **prepared.signature, **links.provenance})
    options.setdefault("signature", signature)
    return score_tables(prepared.gold, prepared.links, **options)


def score_links(gold: Any, links: Any, **options: Any) -> LinkScores:
    """Do the scores of links tell right ones from wrong ones? AUC, precision and recall by threshold, calibration.

    Args:
        gold, links: as ``gold`` and ``hypothesis`` of :func:`score`; ``links`` have scores.
        options: ``development``, ``bins``, ``seed``, ``resamples``, ``confidence``, ``name`` of
            :func:`align_eval.scoring.link_scores.link_scores`.

    Raises:
        InputError: the links have no scores, a score is not between 0 and 1, or there are too few sentence pairs to
            choose a threshold on some of them.
        LengthMismatchError: gold and links are of different sentence pairs.
    """
    table, _ = as_gold(gold)
    prepared = prepare(table, as_table(links, "the links"))
    options.setdefault("name", "the links")
    return link_scores(prepared.gold, prepared.links, **options)


def agree(annotations: Sequence[Any], text: Any = None, names: Sequence[str] = (), **options: Any) -> Agreement:
    """How far annotators of the same sentence pairs agree: F1, Cohen's and Fleiss' kappa, Krippendorff's alpha.

    Args:
        annotations: the links of each annotator, in any form of ``hypothesis`` of :func:`score`; sure and possible
            links as gold links tell them.
        text: the sentence pairs, in any form of ``pairs`` of :func:`align`; ``None``: measures over all cells, which
            need the numbers of words, are ``None``.
        names: of the annotators.
        options: ``resamples``, ``seed``, ``confidence`` of :func:`align_eval.scoring.agreement.agree`.

    Raises:
        InputError: fewer than two annotators, something that is no links, a link outside its sentence pair.
        LengthMismatchError: annotations of different sentence pairs.

    """
    labels = list(names) or [str(k) for k in range(1, len(annotations) + 1)]
    tables = [as_table(given, f"annotation {name}") for given, name in zip(annotations, labels, strict=True)]
    matched = match_tables(tables, Matching(labels))
    pairs = None if text is None else as_pairs(text)
    lengths = None if pairs is None else [(len(p.source), len(p.target)) for p in pairs]
    return agreement_of(matched, labels, lengths, **options)


def symmetrize(forward: Any, reverse: Any, method: str = "grow-diag-final-and", rule: str = "both") -> Any:
    """Combine two directions of alignment. Links of both are (source, target), 0-based, as everywhere in Python.

    Links that were read from a file of the other order are swapped when they are read, ``read_links(order="ts")``, or
    with ``reverse()``.

    Args:
        forward, reverse: :class:`Links` of one sentence pair each; or the links of many in any form of :func:`score`.
        method: one of :data:`align_eval.links.symmetrization.METHODS`.
        rule: ``both`` or ``either``; no influence on intersection and union.

    Returns:
        :class:`Links`, or a table of those of many sentence pairs. An :class:`~align_eval.errors.AlignEvalWarning`
        tells where both directions agree much better with the sides of ``reverse`` swapped.

    Raises:
        UnknownNameError: no such method or rule.
        LengthMismatchError: the directions have different sentence pairs.
        InputError: something that is no links.

    >>> symmetrize(Links("0-0 1-1 2-1"), Links("0-0 1-1 1-2"), "grow-diag", "either")
    Links('0-0 1-1 1-2 2-1')
    """
    if isinstance(forward, Links) or isinstance(reverse, Links):
        one, other = (links if isinstance(links, Links) else Links(links) for links in (forward, reverse))
        return symmetrize_links(one, other, method, rule)
    tables = [as_table(forward, "forward"), as_table(reverse, "reverse")]
    matched = match_tables(tables, Matching(("forward", "reverse")))
    if agreement(*matched).swap:
        text = "forward and reverse agree much better with the sides of reverse swapped: pass reverse.reverse()"
        warnings.warn(AlignEvalWarning(text), stacklevel=2)
    table = symmetrize_table(matched[0], matched[1], method, rule)
    table.provenance = combined_provenance(tables[0].provenance, tables[1].provenance, method, rule)
    return table


def evaluate(
    testsets: Sequence[str | Corpus] | str | Corpus,
    model: str | Model = "offline:e5-small",
    methods: Sequence[str] = (),
    layers: Sequence[int] = (),
    *,
    subword: str = "any",
    lone_marks: str | None = None,
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
) -> Evaluations:
    """Align and score test sets with every method at every layer; the model runs once a test set.

    Returns a list with ``to_frame()``.

    Args:
        testsets: names or test sets; :func:`align_eval.corpora.make_testset` makes one of your own data.
        model, subword, lone_marks, on_long, attention, mode, attribution, symmetrize, choose_on: see :func:`align`.
        methods: none: as the method of :func:`align`.
        layers: empty: the model's default layer.
        source_language, target_language: in place of the test set's.
        model_options: passed to :func:`align_eval.load_model`.
        options: passed to :func:`align_eval.runs.evaluate.evaluate_testset`.
    """
    testsets = [testsets] if isinstance(testsets, str | Corpus) else testsets
    if not isinstance(testsets, Iterable) or not all(isinstance(t, str | Corpus) for t in testsets):
        raise InputError(
            "these are neither names of test sets nor test sets",
            remedy="Give names, or make test sets of your own data: align_eval.make_testset",
        )
    loaded = [load_testset(t) if isinstance(t, str) else t for t in testsets]
    asked = attention_settings(attention, mode, attribution, symmetrize, choose_on)
    model_options = model_options or {}
    how: dict[str, Any] = {"layers": tuple(layers), "subword": subword, "lone_marks": lone_marks, "attention": asked}
    chosen = tuple(methods) or (default_method(model, **how),)
    if isinstance(model, str) and len(loaded) > 1 and needs_model(chosen):
        from align_eval.models import load_model

        model = load_model(model, **model_options)
    settings = AlignerSettings(
        model, chosen, on_long=on_long, options=model_options, source_language=source_language,
        target_language=target_language, **how,
    )  # fmt: skip
    return Evaluations(
        e
        for testset, aligner, _ in aligners_for(settings, loaded, choose_on)
        for e in evaluate_testset(testset, aligner, **options)
    )
