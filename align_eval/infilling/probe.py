"""Run a model on sentence pairs unmasked and with target words masked; keep attention rows and predictions.

Masking is by word: all tokens of a masked word become the mask token, one by one, so that columns, rows and visible
tokens are the same in all variants of a pair.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from align_eval.attribution.collect import OVERHEAD
from align_eval.attribution.matrix import ScoreMatrix, View
from align_eval.attribution.predictions import with_head
from align_eval.errors import InputError, ModelError
from align_eval.infilling.fill import fill_words, logits_at, logits_of_pass, predictions
from align_eval.infilling.measures import Filled, InfillResult, Variant, WordRows
from align_eval.infilling.word_rows import RowKeeper
from align_eval.models.attention import AttentionPass
from align_eval.models.batching import buckets, budget_of, in_halves
from align_eval.models.pairs import MASK_LABEL, Layout, PairModel, mask_tokens
from align_eval.models.tokens import IdArray

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

TOP = 5
FILLERS = (
    "Use offline:tiny-deen-mask (German-English), a conditional masked language model (decoder_mode in config.json), "
    "or a masked language model with its head (head='mlm')"
)
Mask = tuple[int, ...]
Run = tuple[WordRows, tuple[Filled, ...]]
"""The rows of the heads, and the predictions of the masked words."""


def require_infiller(model: Any) -> PairModel:
    """The model in the form that fills masked words: one that :func:`align_eval.models.load_model` gave.

    Raises:
        ModelError: it has no mask token or was not trained to fill; the remedy says what can be done instead.
        InputError: it is no model.
    """
    reader = with_head(model)
    if isinstance(reader, PairModel) and reader.infill_reading:
        return reader
    family = getattr(reader, "family", None)
    if family == "encoder":
        why = "is an encoder whose weights have no trained head that predicts masked words"
        instead = "attention_maps and similarity take this one"
    elif family == "decoder":
        why = "is a decoder-only model: it reads from left to right and was never trained to fill masked words"
        instead = "attention_maps gives its attention to a given target"
    elif family == "seq2seq":
        why = "cannot fill masked words of the target: its tokenizer has no mask token"
        if getattr(reader.tokenizer, "mask_token_id", None) is not None:
            why = (
                "cannot fill masked words of the target: it was trained to translate, or to restore masked text of "
                "its source, and its decoder has never read a mask"
            )
        instead = (
            "a decoder that was trained with masks in its input loads with decoder_mode='masked' or 'causal-masked'; "
            "attention_maps gives the cross-attention to a given target"
        )
    else:
        raise InputError(f"{type(model).__name__} is no model", remedy="Load one with align_eval.load_model")
    raise ModelError(f"{reader.name} {why}", remedy=f"{FILLERS}; {instead}")


def default_head(model: Any) -> tuple[View, str]:
    """The head that is taken unless another is named, by a rule that needs no gold; and the rule, one phrase.

    - A model whose ``config.json`` names the head that was guided in training (``guided_attention``): that one.
    - Another encoder-decoder model: the mean over the heads of the last layer but one (Garg et al. 2019,
      arXiv:1909.02074, find alignment there).
    - An encoder: the mean over the heads of the layer at two thirds of its depth (the choice for vectors of 8 of 12
      layers, Jalili Sabet et al. 2020, arXiv:2004.08728, taken over to attention).
    """
    reader = require_infiller(model)
    guided = getattr(reader.model.config, "guided_attention", None)
    if isinstance(guided, dict) and {"layer", "head"} <= guided.keys():
        return checked_heads(reader, [(guided["layer"], guided["head"])])[0], "the head that was guided in training"
    layer, where = reader.layers - 1, "the last layer but one"
    if reader.family != "seq2seq":
        layer, where = -(-2 * reader.layers // 3), "the layer at two thirds of the depth"
    return View(max(1, layer), "mean", reader.infill_reading), f"by rule: the mean over the heads of {where}"


def checked_heads(model: PairModel, heads: Sequence[View | tuple[Any, ...]]) -> tuple[View, ...]:
    """Heads of a model whose rows are distributions: (layer, head[, mode]), numbers from 1 or ``"mean"``.

    Raises:
        InputError: none, or one that the model does not have; the maximum over heads, which is no distribution; a mode
            in which masked words are not read.
        ModelError: a mode that the model does not have.
    """
    out = []
    for given in heads:
        if len(given) not in (2, 3):
            raise InputError(f"{given!r} is no head", remedy="Give (layer, head), numbers from 1 or 'mean'")
        head = View(given[0], given[1], given[2] if len(given) == 3 else model.infill_reading)
        for what, number, count in (("layer", head.layer, model.layers), ("head", head.head, model.heads)):
            whole = isinstance(number, int) and not isinstance(number, bool)
            if number != "mean" and not (whole and 1 <= int(number) <= count):
                raise InputError(f"{model.name} has no {what} {number!r}", remedy=f"Choose from 1 to {count}, or mean")
        model.require_reading(head.reading)
        if head.reading != model.infill_reading:
            raise InputError(
                f"masked words of {model.name} are read in the mode {model.infill_reading!r}, not {head.reading!r}",
                remedy="Leave out the mode",
            )
        out.append(head)
    if not out:
        raise InputError("no head is asked for", remedy="Name a layer and a head, or leave heads out")
    return tuple(dict.fromkeys(out))


def checked_mask(layout: Layout, mask: Sequence[int]) -> Mask:
    """The words of a mask, ascending, each once."""
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
                f"target word {word} ({pair.target[word]!r}) of pair {pair.id} has no token in this model, so that "
                "it cannot be masked",
                remedy="Leave it out of the mask",
            )
    return words


def infill(
    model: Any,
    pairs: Sequence[SentencePair],
    masks: Sequence[Sequence[Sequence[int]]],
    *,
    heads: Sequence[View | tuple[Any, ...]] | None = None,
    top: int = TOP,
    token_budget: int | None = None,
) -> Iterator[InfillResult]:
    """Run a model on pairs unmasked and with target words masked, variants and pairs of like length in one batch.

    Args:
        model: of :func:`align_eval.load_model`, one that was trained to fill masked words.
        masks: for each pair its variants, each the masked target words, 0-based; an empty one masks nothing.
        heads: which are kept: (layer, head), numbers from 1 or ``"mean"``; ``None``: the head guided in training, or
            the model's default. Only their layers are read.
        top: fillings kept for each masked word.
        token_budget: tokens in a batch, padding counted; ``None``: what the device takes. It changes speed and memory,
            not the numbers.

    Yields:
        a result for each pair, as pairs are done: longest first, each with its ``index``.

    Raises:
        ModelError: the model cannot fill; weights missing or no distribution.
        InputError: a mask that names no word of its pair, or a word without any token; no such head.
        SentenceTooLongError: a pair does not fit the model.
        NonFiniteError: NaN or infinity in attention or logits.
    """
    reader = require_infiller(model)
    chosen = (default_head(reader)[0],) if heads is None else checked_heads(reader, heads)
    if len(masks) != len(pairs):
        raise InputError(f"{len(masks)} lists of masks for {len(pairs)} pairs", remedy="Give one list for each pair")
    layouts = reader.lay_out(pairs)
    wanted = [[checked_mask(layout, mask) for mask in some] for layout, some in zip(layouts, masks, strict=True)]
    # Number of the pair and of its mask (-1: unmasked). Masking changes no length.
    runs = [(pair, k) for pair, some in enumerate(wanted) for k in range(-1, len(some))]
    budget = budget_of(token_budget, reader.device, reader.hidden_size)
    groups = buckets([layouts[pair].size for pair, _ in runs], budget, overhead=OVERHEAD) if runs else []

    def results() -> Iterator[InfillResult]:
        found: dict[int, dict[int, Run]] = {}
        for members in groups:
            batch = [runs[member] for member in members]
            items = [_item(reader, layouts[pair], wanted[pair][k] if k >= 0 else ()) for pair, k in batch]
            for (pair, k), run in zip(batch, _run(reader, items, chosen, top), strict=True):
                of_pair = found.setdefault(pair, {})
                of_pair[k] = run
                if len(of_pair) > len(wanted[pair]):
                    variants = tuple(Variant(mask, *of_pair[n]) for n, mask in enumerate(wanted[pair]))
                    yield InfillResult(pair, pairs[pair], chosen, found.pop(pair)[-1][0], variants)

    return results()


def infill_with_maps(
    reader: PairModel, pair: SentencePair, masked: Sequence[int], head: View, top: int = TOP
) -> tuple[InfillResult, ScoreMatrix, ScoreMatrix]:
    """One forward pass of a pair unmasked and with target words (0-based) masked: its result, and two maps.

    The maps, unmasked and masked, are between tokens on the same axes: rows are target tokens (masked ones are labelled
    ``[MASK]`` in the second, as are masked words in its text), columns all tokens of the source with the special ones.
    Of an encoder the columns are the source's words alone, and each row is divided by its mass on them; ``left_out`` is
    what lay elsewhere.
    """
    (layout,) = reader.lay_out([pair])
    mask = checked_mask(layout, masked)
    maps: list[ScoreMatrix] = []
    full, after = _run(reader, [_item(reader, layout, ()), _item(reader, layout, mask)], (head,), top, maps)
    result = InfillResult(0, pair, (head,), full[0], (Variant(mask, *after),))
    text = tuple(MASK_LABEL if k in mask else word for k, word in enumerate(pair.target))
    return result, maps[0], replace(maps[1], target=replace(maps[1].target, text=(text,)))


class _Item(NamedTuple):
    """One run: what is read, and the masked rows with their words and ids."""

    layout: Layout
    rows: IdArray
    words: IdArray
    tokens: IdArray


def _item(reader: PairModel, layout: Layout, mask: Mask) -> _Item:
    (block,) = layout.blocks[reader.infill_reading]
    masked = np.isin(block.row_words, mask)
    rows = block.rows[masked]
    changed = mask_tokens(layout, rows, int(reader.tokenizer.mask_token_id)) if mask else layout
    return _Item(changed, rows, block.row_words[masked], layout.inputs[-1][rows])


def _run(
    reader: PairModel, items: list[_Item], heads: tuple[View, ...], top: int, maps: list[ScoreMatrix] | None = None
) -> list[Run]:
    """One pass over a batch, or several where memory is short: rows of the heads, predictions of the masked words.

    ``maps`` takes the map of the first head of each item.
    """
    return [run for _, runs in in_halves([items], lambda some: _pass(reader, some, heads, top, maps)) for run in runs]


def _pass(
    reader: PairModel, items: list[_Item], heads: tuple[View, ...], top: int, maps: list[ScoreMatrix] | None
) -> list[Run]:
    layouts = [item.layout for item in items]
    keeper = RowKeeper(reader, layouts, heads, raw=maps is not None)
    sites = {layer: reader.sites[layer - 1] for layer in keeper.layers}
    counts = [len(item.rows) for item in items]
    ends = np.cumsum(counts).tolist()
    some = ends[-1] > 0  # masked tokens, whose logits ask for the whole pass
    places, rows, tokens = (
        torch.from_numpy(array).to(reader.device)
        for array in (
            np.repeat(np.arange(len(items)), counts),
            np.concatenate([item.rows for item in items]),
            np.concatenate([item.tokens for item in items]),
        )
    )
    attention = AttentionPass(reader.model, sites, lambda: reader.forward_variants(layouts), reader.name, to_end=some)
    at: Any = logits_at(reader.model, places, rows, reader.name) if some else contextlib.nullcontext([])
    with at as seen:
        for layer, weights in attention:
            keeper.take(layer, weights)
    found: Any = None
    if some:
        logits = logits_of_pass(seen, attention.output, places, rows, reader.name)
        found = predictions(logits, tokens, top, reader.name)
    out = []
    for k, item in enumerate(items):
        filled: tuple[Filled, ...] = ()
        if counts[k]:
            mask, part = np.unique(item.words).tolist(), found[slice(ends[k] - counts[k], ends[k])]
            filled = fill_words(reader.tokenizer, part, item.words, item.layout.pair.target, mask, top)
        out.append((keeper.rows(k), filled))
    if maps is not None:
        maps += [keeper.map(k) for k in range(len(items))]
    return out
