"""The probe: a model reads pairs whole and with target words hidden, and its attention and predictions are kept.

Masking is by word: all sub-words of a hidden word become the mask token, one by one, so that nothing else moves. The
columns, the rows and the sub-words that are shown are the same in all variants of a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError, ModelError
from align_eval.infilling.batches import Item, gathered, item_of, run_items
from align_eval.infilling.results import InfillResult
from align_eval.infilling.word_rows import checked_views
from align_eval.models.pairs import MASK_LABEL, Layout, PairModel
from align_eval.signals.collect import batches_of, layout_maps
from align_eval.signals.matrix import ScoreMatrix, View
from align_eval.signals.predictions import with_head

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

TOP = 5

FILLERS = (
    "Use offline:tiny-deen-mask (German-English), a conditional masked language model (decoder_mode in config.json), "
    "or a masked language model with its head (head='mlm')"
)


def require_infiller(model: Any) -> PairModel:
    """The model in the form that fills hidden words.

    Args:
        model: of :func:`align_eval.models.load_model`: a ``MaskedSeq2Seq``, an ``InfillingSeq2Seq``, a
            ``MaskedEncoder``, or an ``Encoder`` whose head for hidden words was loaded with it.

    Raises:
        ModelError: it has no mask token or was not trained to fill; the remedy says what can be done instead.
        InputError: it is no model.
    """
    reader = with_head(model)
    if isinstance(reader, PairModel) and reader.infill_reading:
        return reader
    family = getattr(reader, "family", None)
    name = getattr(reader, "name", "")
    if family == "encoder":
        raise ModelError(
            f"{name} is an encoder whose weights have no trained head that predicts hidden words",
            remedy=f"{FILLERS}; it can be read by attention_maps and similarity",
        )
    if family == "decoder":
        raise ModelError(
            f"{name} is a decoder-only model: it reads from left to right and has never filled a hidden word",
            remedy=f"{FILLERS}; its attention to a given target can be read by attention_maps",
        )
    if family == "seq2seq":
        mask = getattr(reader.tokenizer, "mask_token_id", None)
        what = (
            "its tokenizer has no mask token"
            if mask is None
            else "it was trained to translate, or to restore masked text of its source, and its decoder has never read "
            "a mask"
        )
        raise ModelError(
            f"{name} cannot fill hidden words of the target: {what}",
            remedy=f"{FILLERS}; a decoder that was trained with masks in its input loads with decoder_mode='masked' or "
            "'causal-masked'; the cross-attention to a given target can be read by attention_maps",
        )
    raise InputError(f"{type(model).__name__} is no model", remedy="Load one with align_eval.load_model")


def default_view(model: Any) -> View:
    """The layer and head that are looked at unless others are named, by a rule that needs no gold.

    - A model whose ``config.json`` names the head that was guided in training (``guided_attention``): that one.
    - Another encoder-decoder model: the mean over the heads of the last layer but one (Garg et al. 2019,
      arXiv:1909.02074, find alignment there).
    - An encoder: the mean over the heads of the layer at two thirds of its depth (the choice for vectors of 8 of 12
      layers, Jalili Sabet et al. 2020, arXiv:2004.08728, taken over to attention).

    Raises:
        ModelError, InputError: as :func:`require_infiller`.
    """
    reader = require_infiller(model)
    guided = getattr(reader.model.config, "guided_attention", None)
    if isinstance(guided, dict) and {"layer", "head"} <= guided.keys():
        (view,) = checked_views(reader, [(guided["layer"], guided["head"], reader.infill_reading)])
        return view
    layer = reader.layers - 1 if reader.family == "seq2seq" else -(-2 * reader.layers // 3)
    return View(max(1, layer), "mean", reader.infill_reading)


def default_rule(model: Any) -> str:
    """Why :func:`default_view` is the one it is, one phrase."""
    reader = require_infiller(model)
    if isinstance(getattr(reader.model.config, "guided_attention", None), dict):
        return "the head that was guided in training"
    where = "the last layer but one" if reader.family == "seq2seq" else "the layer at two thirds of the depth"
    return f"by rule: the mean over the heads of {where}"


def infill(
    model: Any,
    pairs: Sequence[SentencePair],
    masks: Sequence[Sequence[Sequence[int]]],
    *,
    views: Sequence[View | tuple[Any, ...]] | None = None,
    top: int = TOP,
    token_budget: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[InfillResult]:
    """Run a model on pairs whole and with target words hidden.

    The whole pair and all its variants run in one batch, with those of other pairs of like length.

    Args:
        model: see :func:`require_infiller`.
        pairs: the sentence pairs.
        masks: for each pair its variants, each the hidden target words, 0-based; an empty one hides nothing.
        views: which layers and heads are kept: :class:`View` or (layer, head[, reading]), numbers from 1 or
            ``"mean"``; ``None``: :func:`default_view`. Only their layers are read.
        top: fillings kept for each hidden word.
        token_budget: sub-words in a batch, padding counted; ``None``: what the device takes. It
            changes speed and memory, not the numbers.
        progress: told the number of pairs that have been done since it was last told.

    Yields:
        a result for each pair, as pairs are done: longest first, each with its ``index``.

    Raises:
        ModelError: the model cannot fill; weights missing or no distribution.
        InputError: a mask that names no word of its pair, or a word without any sub-word; a view that is none.
        SentenceTooLongError: a pair does not fit the model.
        NonFiniteError: NaN or infinity in attention or logits.
    """
    reader = require_infiller(model)
    chosen = (default_view(reader),) if views is None else checked_views(reader, views)
    if len(masks) != len(pairs):
        raise InputError(f"{len(masks)} lists of masks for {len(pairs)} pairs", remedy="Give one list for each pair")
    layouts = reader.lay_out(pairs)
    items: list[Item] = []
    wanted: list[list[tuple[int, ...]]] = []
    for number, (layout, some) in enumerate(zip(layouts, masks, strict=True)):
        wanted.append([checked_mask(layout, mask) for mask in some])
        items.append(item_of(reader, layout, number, -1, ()))
        items += [item_of(reader, layout, number, k, mask) for k, mask in enumerate(wanted[-1])]
    return _stream(reader, pairs, items, wanted, chosen, top, token_budget, progress)


def checked_mask(layout: Layout, mask: Sequence[int]) -> tuple[int, ...]:
    """The words of a mask, ascending, each once.

    Raises:
        InputError: no such target word, or one without any sub-word.
    """
    pair = layout.pair
    words = tuple(sorted({int(word) for word in mask}))
    if words and not 0 <= words[0] <= words[-1] < len(pair.target):
        raise InputError(
            f"the mask {words} of pair {pair.id} names a word outside of its {len(pair.target)} target words",
            remedy="Words are counted from 0",
        )
    block = next(iter(layout.blocks.values()))[0]
    present = set((block.row_words if block.side == "target" else block.column_words).tolist())
    for word in words:
        if word not in present:
            raise InputError(
                f"target word {word} ({pair.target[word]!r}) of pair {pair.id} has no sub-word in this model, so that "
                "it cannot be hidden",
                remedy="Leave it out of the mask",
            )
    return words


def _stream(
    reader: PairModel, pairs: Sequence[SentencePair], items: list[Item], wanted: list[list[tuple[int, ...]]],
    views: tuple[View, ...], top: int, token_budget: int | None, progress: Callable[[int], None] | None,
) -> Iterator[InfillResult]:  # fmt: skip
    batches = batches_of(reader, [item.layout for item in items], token_budget)
    found = (run_items(reader, [items[k] for k in members], views, top) for members in batches)
    return gathered(pairs, wanted, views, found, progress)


def infill_maps(
    model: Any, pair: SentencePair, masked: Sequence[int], *, layer: int | str, head: int | str
) -> tuple[ScoreMatrix, ScoreMatrix]:
    """The maps of a pair whole and with target words hidden, between sub-words, on the same axes (for figures).

    Args:
        model: see :func:`require_infiller`.
        pair: the pair.
        masked: the hidden target words, 0-based.
        layer, head: numbers from 1, or ``"mean"``.

    Returns:
        (whole, masked): one layer, one head; rows are target sub-words (hidden ones are labelled ``[MASK]`` in the
        second, as are hidden words in its text), columns all sub-words of the source with the special ones.
        Of an encoder the columns are the source's words alone, and each row is divided by its mass on them;
        ``left_out`` is what lay elsewhere before.

    Raises:
        as :func:`infill`.
    """
    reader = require_infiller(model)
    (view,) = checked_views(reader, [(layer, head, reader.infill_reading)])
    (layout,) = reader.lay_out([pair])
    mask = checked_mask(layout, masked)
    hidden = item_of(reader, layout, 0, 0, mask).layout
    layers = "all" if view.layer == "mean" else view.layer
    heads = "all" if view.head == "mean" else view.head
    out = []
    for maps in layout_maps(reader, [layout, hidden], layers, heads, view.reading):
        maps = maps.head_mean() if view.head == "mean" else maps
        maps = maps.layer_mean() if view.layer == "mean" else maps
        if reader.family == "encoder":
            maps = replace(maps.renormalise().word_keys(), quantity=f"{maps.quantity}, renormalised over the source")
        out.append(maps)
    text = tuple(MASK_LABEL if k in mask else word for k, word in enumerate(pair.target))
    return out[0], replace(out[1], target=replace(out[1].target, text=(text,)))
