"""The verbs of the command line as Python functions: align, score, evaluate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.corpora import SentencePair, TestSet, load_testset
from align_eval.link_table import LinkTable
from align_eval.links import GoldLinks, Links
from align_eval.runs.align_file import align_stream
from align_eval.runs.evaluate import Evaluation, evaluate_testset
from align_eval.scoring import Score, Signature
from align_eval.scoring import score as score_tables

if TYPE_CHECKING:
    from align_eval.models import Encoder

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
    model: str | Encoder = "offline:e5-small",
    method: str = "argmax",
    layer: int | None = None,
    *,
    subword: str = "any",
    on_long: str = "window",
    **options: Any,
) -> LinkTable:
    """Align sentence pairs with a model.

    Args:
        pairs: a test set, a bitext, or ``(source, target)`` pairs of texts or lists of words.
        model: a model of :func:`align_eval.load_model` or its name.
        method: an extraction method with its options, such as ``itermax`` or ``softmax:threshold=0.01``, or
            ``simalign:itermax``.
        layer: 0 (embeddings) to the model's last; ``None``: the model's default layer.
        subword: ``any``: words are linked if any of their sub-words are; ``mean``: mean vector of a word's sub-words.
        on_long: ``window``: sentences over the model's window are encoded in overlapping windows; ``raise``.
        options: passed to :func:`align_eval.load_model`: ``device``, ``dtype``, ``revision``, ...

    Returns:
        one :class:`Links` a pair, 0-based, with scores (``table[k]``); a pair with an empty side has no links.

    Raises:
        UnknownNameError: no such model or method.
        InputError: a layer that the model does not have.
        SentenceTooLongError: only with ``on_long="raise"``.
        NonFiniteError: the model gave NaN or infinity.
    """
    settings = AlignerSettings(
        model, (method,), () if layer is None else (layer,), subword, on_long, options=dict(options)
    )
    aligner = make_aligner(settings)
    found: list[Links] = []
    for block in align_stream(aligner, as_pairs(pairs)):
        found.extend(block)
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
    model: str | Encoder = "offline:e5-small",
    methods: Sequence[str] = ("argmax",),
    layers: Sequence[int] = (),
    *,
    subword: str = "any",
    on_long: str = "window",
    model_options: dict[str, Any] | None = None,
    **options: Any,
) -> list[Evaluation]:
    """Align and score test sets with every method at every layer; the model runs once a test set.

    Args:
        testsets: names or test sets.
        model, subword, on_long: see :func:`align`.
        methods: extraction methods.
        layers: empty: the model's default layer.
        model_options: passed to :func:`align_eval.load_model`.
        options: passed to :func:`align_eval.runs.evaluate.evaluate_testset`.
    """
    if isinstance(testsets, str | TestSet):
        testsets = [testsets]
    loaded = [load_testset(t) if isinstance(t, str) else t for t in testsets]
    settings = AlignerSettings(model, tuple(methods), tuple(layers), subword, on_long, options=model_options or {})
    aligner = make_aligner(settings)
    return [e for testset in loaded for e in evaluate_testset(testset, aligner, **options)]
