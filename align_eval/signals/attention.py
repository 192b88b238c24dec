"""Raw attention of any transformer as soft maps: encoder-decoder, encoder and decoder-only models by one door.

:func:`attention_maps` gives the maps of single pairs with all labels; :func:`attention_softmap` those of many pairs
between words, batch by batch, for every layer, head and reading at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from align_eval.errors import InputError, UnknownNameError
from align_eval.models.attention import check_rows
from align_eval.models.batching import buckets, in_halves
from align_eval.models.pairs import Block, Layout, PairModel
from align_eval.signals.attention_batch import AttentionBatch, Found, View, WordBlocks, add
from align_eval.signals.attention_maps import AttentionMaps, Number
from align_eval.signals.fitting import lay_out_fitting
from align_eval.signals.registry import SIGNALS
from align_eval.signals.subwords import require_rule

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

TOKEN_BUDGET = 2048
OVERHEAD = 32
"""What one more batch costs, in sub-words."""
AGGREGATES = ("mean", "max")
WHOLE = "layer"
"""The head of a map that is of the whole layer (:attr:`PairModel.headless`), whatever heads are asked for."""


@SIGNALS.register("attention")
def pair_model(model: Any) -> PairModel:
    """The model as one that reads pairs: an :class:`Encoder` is given the concatenated form.

    Raises:
        InputError: it is no model of :func:`align_eval.models.load_model`.
    """
    if isinstance(model, PairModel):
        return model
    from align_eval.models.encoder import Encoder

    if isinstance(model, Encoder):
        from align_eval.models.encoder import PairEncoder

        return PairEncoder(model)
    raise InputError(f"{type(model).__name__} is no model", remedy="Load one with align_eval.load_model")


@dataclass(frozen=True)
class _Choice:
    """Which layers and heads are wanted: numbers from 1, and the aggregates over all of them."""

    layers: tuple[int, ...]
    layer_names: tuple[Number, ...]
    heads: tuple[int, ...]
    head_names: tuple[Number, ...]


def _choose(model: PairModel, layers: Any, heads: Any) -> _Choice:
    def one(given: Any, count: int, what: str, aggregates: tuple[str, ...]) -> tuple[Number, ...]:
        if given == "all":
            return tuple(range(1, count + 1))
        listed = [given] if isinstance(given, (int, str)) else list(given)
        names: list[Number] = []
        for item in listed:
            if isinstance(item, str) and item == "all":
                names += range(1, count + 1)
            elif isinstance(item, str):
                if item not in aggregates:
                    raise UnknownNameError(f"choice of {what}s", item, ("all", *aggregates))
                names.append(item)
            elif isinstance(item, int) and 1 <= item <= count:
                names.append(item)
            else:
                raise InputError(f"{model.name} has no {what} {item!r}", remedy=f"Choose from 1 to {count}")
        if not names:
            raise InputError(f"no {what} is asked for", remedy=f"Choose from 1 to {count}, or all")
        return tuple(dict.fromkeys(names))

    layer_names = one(layers, model.layers, "layer", ("mean",))
    head_names = (WHOLE,) if model.headless else one(heads, model.heads, "head", AGGREGATES)

    def needed(names: tuple[Number, ...], count: int) -> tuple[int, ...]:
        if any(isinstance(name, str) for name in names):
            return tuple(range(1, count + 1))
        return tuple(name for name in names if isinstance(name, int))

    return _Choice(needed(layer_names, model.layers), layer_names, needed(head_names, model.heads), head_names)


def attention_maps(
    model: Any,
    pairs: Sequence[SentencePair],
    layers: Any = "all",
    heads: Any = "all",
    reading: str | None = None,
    *,
    token_budget: int = TOKEN_BUDGET,
) -> list[AttentionMaps]:
    """The attention of each pair between sub-words, special ones included, in the order given.

    Args:
        model: of :func:`align_eval.models.load_model`, of any family.
        pairs: the sentence pairs.
        layers, heads: numbers from 1, or ``"all"``. Only these are kept.
        reading: ``"awo"`` or ``"awi"`` (encoder-decoder and decoder-only), ``"block"``, ``"block-st"`` or
            ``"block-ts"`` (encoder); ``None``: the model's first. ``"block"`` is the mean of the two word maps
            (keys summed, queries averaged, each block by its own rows); its ``left_out`` is that of the target rows.
        token_budget: sub-words in a batch, padding counted; it changes speed and memory, not the maps.

    Raises:
        ModelError: a reading, layer or head that the model does not have, weights missing or no distribution.
        NonFiniteError: NaN or infinity.
        SentenceTooLongError: a pair does not fit the model.
    """
    reader = pair_model(model)
    reading = reader.readings[0] if reading is None else reading
    reader.require_reading(reading)
    choice = _choose(reader, layers, heads)
    if any(isinstance(name, str) and name != WHOLE for name in (*choice.layer_names, *choice.head_names)):
        raise InputError("aggregates are taken from the maps", remedy="Use .head_mean(), .head_max() or .layer_mean()")
    return _all_maps(reader, reader.lay_out(pairs), choice, reading, token_budget)


def layout_maps(
    reader: PairModel, layouts: Sequence[Layout], layers: Any, heads: Any, reading: str,
    token_budget: int = TOKEN_BUDGET, *, on_host: bool = False,
) -> list[AttentionMaps]:  # fmt: skip
    """As :func:`attention_maps`, of layouts: pairs that are encoded otherwise than whole (with words masked).

    ``on_host`` takes the maps off the device layer by layer.
    """
    return _all_maps(reader, layouts, _choose(reader, layers, heads), reading, token_budget, on_host)


def _all_maps(
    reader: PairModel, layouts: Sequence[Layout], choice: _Choice, reading: str, token_budget: int,
    on_host: bool = False,
) -> list[AttentionMaps]:  # fmt: skip
    out: list[Any] = [None] * len(layouts)
    batches = batches_of(layouts, token_budget)
    for members, found in in_halves(
        batches, lambda some: _raw(reader, [layouts[k] for k in some], choice, reading, on_host)
    ):
        for k, blocks in zip(members, found, strict=True):
            layout = layouts[k]
            maps = [_maps(reader, layout, block, values, choice, reading) for block, values in blocks]
            out[k] = maps[0] if len(maps) == 1 else mean_block(maps[0], maps[1])
    return out


def _raw(
    reader: PairModel, batch: list[Layout], choice: _Choice, reading: str, on_host: bool
) -> list[list[tuple[Block, Tensor]]]:
    """For each pair its blocks, each with the weights ``(L, H, rows, columns)``."""
    kept: list[list[list[Tensor]]] = [[[] for _ in layout.blocks[reading]] for layout in batch]
    heads = torch.tensor(choice.heads, device=reader.device) - 1

    def take(layer: int, weights: Tensor) -> None:
        for b, layout in enumerate(batch):
            for number, block in enumerate(layout.blocks[reading]):
                rows = torch.from_numpy(block.rows).to(weights.device)
                part = weights[b].index_select(0, heads.to(weights.device))[:, :, : len(block.column_words)]
                found = _wide(part.index_select(1, rows))
                kept[b][number].append(found.cpu() if on_host else found)

    reader.attend(batch, choice.layers, take)
    order = sorted(choice.layers)
    pick = [order.index(layer) for layer in choice.layers]
    return [
        [
            (block, torch.stack([of_block[p] for p in pick]))
            for block, of_block in zip(layout.blocks[reading], parts, strict=True)
        ]
        for layout, parts in zip(batch, kept, strict=True)
    ]


def _maps(
    reader: PairModel, layout: Layout, block: Block, values: Tensor, choice: _Choice, reading: str
) -> AttentionMaps:
    pair = layout.pair
    query, key = (pair.target, pair.source) if block.side == "target" else (pair.source, pair.target)
    for number, layer in enumerate(choice.layers if reader.distribution else ()):
        check_rows(values[number][None], layer, reader.name, reader.dtype, pairs=[pair.id])
    key_words = torch.from_numpy(block.column_words).to(values.device)
    return AttentionMaps(
        values, choice.layer_names, choice.head_names, block.row_labels, block.column_labels,
        torch.from_numpy(block.row_words).to(values.device), key_words, tuple(query), tuple(key), block.side, reading,
        reader.quantity, values[..., key_words < 0].sum(dim=-1), reader.name,
    )  # fmt: skip


def mean_block(ts: AttentionMaps, st: AttentionMaps) -> AttentionMaps:
    """The mean of the target rows' word map and the turned source rows' word map."""
    ts, st = ts.words(), st.words()
    quantity = f"{ts.quantity}, mean of both blocks"
    return replace(ts, values=(ts.values + st.values.transpose(-1, -2)) / 2, reading="block", quantity=quantity)


def attention_softmap(
    model: Any,
    pairs: Sequence[SentencePair],
    layers: Any = "all",
    heads: Any = ("all", "mean"),
    readings: Sequence[str] | str | None = None,
    *,
    keys: str = "sum",
    queries: str = "mean",
    renormalised: bool = False,
    token_budget: int = TOKEN_BUDGET,
    on_long: str = "raise",
) -> Iterator[AttentionBatch]:
    """Soft maps between words for every layer, head and reading, batch by batch (longest pairs first).

    Each layer is pooled to words as soon as it is computed, so that no more than one layer's maps between sub-words
    exist at a time.

    Args:
        model: of :func:`align_eval.models.load_model`, of any family.
        pairs: the sentence pairs. Those with a side without any sub-word are in no batch.
        layers: numbers from 1, ``"mean"`` (over all layers), ``"all"``.
        heads: numbers from 1, ``"mean"``, ``"max"`` (over all heads of the layer), ``"all"``. The maximum is taken
            between words.
        readings: one or several; ``None``: all of the model.
        keys, queries: how sub-words become words, see :mod:`align_eval.signals.subwords`.
        renormalised: divide each word's row by its mass on words of the other side.
        token_budget: sub-words in a batch, padding counted; it changes speed and memory, not the maps.
        on_long: ``raise``, or ``leave``: pairs that are longer than the model's window are in no batch.

    Yields:
        :class:`AttentionBatch`: values ``(views, B, source words, target words)``.

    Raises:
        as :func:`attention_maps`; UnknownNameError for an unknown rule, ``heads`` or ``layers``.
    """
    reader = pair_model(model)
    layouts = lay_out_fitting(reader, pairs) if on_long == "leave" else reader.lay_out(pairs)
    return layouts_softmap(
        reader, layouts, layers, heads, readings, keys=keys, queries=queries, renormalised=renormalised,
        token_budget=token_budget,
    )  # fmt: skip


def layouts_softmap(
    reader: PairModel,
    layouts: Sequence[Layout | None],
    layers: Any = "all",
    heads: Any = ("all", "mean"),
    readings: Sequence[str] | str | None = None,
    *,
    keys: str = "sum",
    queries: str = "mean",
    renormalised: bool = False,
    token_budget: int = TOKEN_BUDGET,
) -> Iterator[AttentionBatch]:
    """As :func:`attention_softmap`, of layouts; ``None`` is a pair that is in no batch."""
    names = reader.readings if readings is None else (readings,) if isinstance(readings, str) else tuple(readings)
    for name in names:
        reader.require_reading(name)
    for rule in (keys, queries):
        require_rule(rule)
    choice = _choose(reader, layers, heads)
    return _stream(reader, layouts, choice, names, keys, queries, renormalised, token_budget)


def _stream(
    reader: PairModel, layouts: Sequence[Layout | None], choice: _Choice, readings: tuple[str, ...], keys: str,
    queries: str, renormalised: bool, token_budget: int,
) -> Iterator[AttentionBatch]:  # fmt: skip
    live = {k: layout for k, layout in enumerate(layouts) if layout is not None and has_words(layout)}
    numbers = list(live)
    views = tuple(
        View(layer, head, reading) for reading in readings for layer in choice.layer_names for head in choice.head_names
    )

    def batch_of(members: Sequence[int]) -> AttentionBatch:
        batch = [live[k] for k in members]
        blocks = WordBlocks(batch, readings, reader.device, (keys, queries), renormalised)
        found = _pooled(reader, blocks, batch, choice, readings)
        return replace(blocks.batch(members, views, found, choice.layer_names), quantity=reader.quantity)

    groups = batches_of(list(live.values()), token_budget)
    for _, batch in in_halves([[numbers[g] for g in group] for group in groups], batch_of):
        yield batch


def _pooled(
    reader: PairModel, blocks: WordBlocks, batch: list[Layout], choice: _Choice, readings: tuple[str, ...]
) -> dict[tuple[Number, str], Found]:
    """The word maps of a batch by layer (or ``"mean"``) and reading."""
    mean = "mean" in choice.layer_names
    out: dict[tuple[Number, str], Found] = {}

    def take(layer: int, weights: Tensor) -> None:
        wide = _wide(weights)
        blocks.check(wide, layer, reader)
        for reading in readings:
            found = blocks.words(wide, reading, choice.heads, choice.head_names)
            if layer in choice.layer_names:
                out[layer, reading] = found
            if mean:
                out["mean", reading] = add(out.get(("mean", reading)), found)

    reader.attend(batch, choice.layers, take)
    for reading in readings if mean else ():
        out["mean", reading] = [(a / reader.layers, b / reader.layers) for a, b in out["mean", reading]]
    return out


def _wide(weights: Tensor) -> Tensor:
    """Half precision as float32; others as they are."""
    return weights.float() if weights.dtype in (torch.float16, torch.bfloat16) else weights


def has_words(layout: Layout) -> bool:
    """Whether both sides of every block have a sub-word that belongs to a word."""
    return all(
        bool((block.row_words >= 0).any()) and bool((block.column_words >= 0).any())
        for blocks in layout.blocks.values()
        for block in blocks
    )


def batches_of(layouts: Sequence[Layout], budget: int) -> list[list[int]]:
    """Indices of ``layouts`` in batches under a budget of padded sub-words, longest first."""
    return buckets([layout.size for layout in layouts], budget, overhead=OVERHEAD) if layouts else []
