"""Score matrices of many sentence pairs: encoded, batched, taken layer by layer, and kept as tokens or pooled to words.

One way for raw attention and every attribution method: :func:`attention_maps` gives single pairs between tokens with
all labels; :func:`word_matrices` gives batches between words, for every layer, head and reading at once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from align_eval.attribution import pair_model
from align_eval.attribution.matrix import (
    Number,
    ScoreMatrix,
    Side,
    View,
    at_least_float32,
    padded_tensor,
    pool,
    pool_last_axis,
    require_rule,
    word_side,
)
from align_eval.errors import InputError, SentenceTooLongError, UnknownNameError
from align_eval.models.attention import check_rows, not_finite
from align_eval.models.batching import buckets, budget_of, in_halves
from align_eval.models.pairs import Block, Layout, PairModel

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

OVERHEAD = 32
"""What one more batch costs, in tokens."""
WHOLE = "layer"
"""The head of a matrix that is of the whole layer (:attr:`PairModel.headless`), whatever heads are asked for."""
Taken = list[tuple[Tensor, Tensor]]
"""For each block of a reading the scores ``(B, H, rows, columns)`` and the mass left out ``(B, H, rows)``."""


def attention_maps(
    model: Any,
    pairs: Sequence[SentencePair],
    layers: Any = "all",
    heads: Any = "all",
    reading: str | None = None,
    *,
    token_budget: int | None = None,
) -> list[ScoreMatrix]:
    """The scores of each pair between tokens, special ones included: one matrix a pair, in the order given.

    Args:
        model: of :func:`align_eval.models.load_model`, of any family, or of :func:`align_eval.make_attribution`.
        pairs: the sentence pairs.
        layers, heads: numbers from 1, or ``"all"``. Only these are kept.
        reading: ``"awo"`` or ``"awi"`` (encoder-decoder and decoder-only), ``"block"``, ``"block-st"`` or
            ``"block-ts"`` (encoder); ``None``: the model's first. ``"block"`` is between words, the mean of both blocks
            (keys summed, queries averaged, each block by its own rows).
        token_budget: tokens in a batch, padding counted; ``None``: what the device takes. It changes
            speed and memory, not the scores.

    Raises:
        ModelError: a reading, layer or head that the model does not have, weights missing or no distribution.
        NonFiniteError: NaN or infinity.
        SentenceTooLongError: a pair does not fit the model.
    """
    reader = pair_model(model)
    reading = reader.readings[0] if reading is None else reading
    reader.require_reading(reading)
    choice = _choose(reader, layers, heads)
    if {"mean", "max"} & {*choice.layer_names, *choice.head_names}:
        raise InputError(
            "aggregates are taken from the matrix", remedy="Use .head_mean(), .head_max() or .layer_mean()"
        )
    return layout_maps(reader, reader.lay_out(pairs), layers, heads, reading, token_budget)


def layout_maps(
    reader: PairModel, layouts: Sequence[Layout], layers: Any, heads: Any, reading: str,
    token_budget: int | None = None, *, on_host: bool = False,
) -> list[ScoreMatrix]:  # fmt: skip
    """As :func:`attention_maps`, of encoded pairs, such as those with words masked.

    ``on_host`` takes the scores off the device layer by layer.
    """
    out: list[Any] = [None] * len(layouts)
    wanted = _Wanted(_choose(reader, layers, heads), (reading,), on_host=on_host)
    for batch in _stream(reader, layouts, wanted, token_budget):
        for b, k in enumerate(batch.indices):
            out[k] = batch[b]
    return out


def word_matrices(
    model: Any,
    pairs: Sequence[SentencePair],
    layers: Any = "all",
    heads: Any = ("all", "mean"),
    readings: Sequence[str] | str | None = None,
    *,
    on_long: str = "raise",
    **rules: Any,
) -> Iterator[ScoreMatrix]:
    """Score matrices between words for every layer, head and reading, batch by batch (longest pairs first).

    Each layer is pooled to words as soon as it is computed, so that no more than one layer's scores between tokens
    exist at a time. Each matrix has values ``(views, B, source words, target words)``; ``indices`` name the pairs.

    Args:
        model: see :func:`attention_maps`.
        pairs: the sentence pairs. Those with a side without any token are in no batch.
        layers: numbers from 1, ``"mean"`` (over all layers), ``"all"``.
        heads: numbers from 1, ``"mean"``, ``"max"`` (over all heads of the layer), ``"all"``. The maximum is taken
            between words.
        readings: one or several; ``None``: all of the model.
        on_long: ``raise``, or ``leave``: pairs that are longer than the model's window are in no batch.
        rules: of :func:`layout_word_matrices`.

    Raises:
        as :func:`attention_maps`; UnknownNameError for an unknown rule, ``heads`` or ``layers``.
    """
    reader = pair_model(model)
    layouts = lay_out_fitting(reader, pairs) if on_long == "leave" else reader.lay_out(pairs)
    return layout_word_matrices(reader, layouts, layers, heads, readings, **rules)


def layout_word_matrices(
    reader: PairModel, layouts: Sequence[Layout | None], layers: Any = "all", heads: Any = ("all", "mean"),
    readings: Sequence[str] | str | None = None, *, keys: str = "sum", queries: str = "mean",
    token_budget: int | None = None,
) -> Iterator[ScoreMatrix]:  # fmt: skip
    """As :func:`word_matrices`, of encoded pairs; ``None`` is a pair that is in no batch.

    ``keys`` and ``queries`` are the rules by which tokens become words, see :mod:`align_eval.attribution.matrix`.
    ``token_budget``: tokens in a batch, padding counted; ``None``: what the device takes. It changes speed and memory,
    not the scores.
    """
    names = reader.readings if readings is None else (readings,) if isinstance(readings, str) else tuple(readings)
    for name in names:
        reader.require_reading(name)
    for rule in (keys, queries):
        require_rule(rule)
    live = [layout if layout is not None and has_words(layout) else None for layout in layouts]
    return _stream(reader, live, _Wanted(_choose(reader, layers, heads), names, (keys, queries)), token_budget)


def lay_out_fitting(reader: PairModel, pairs: Sequence[SentencePair]) -> list[Layout | None]:
    """As :meth:`PairModel.lay_out`, with ``None`` for a pair that is longer than the model's window.

    Pairs are encoded together; halves are tried where one of them does not fit.
    """
    try:
        return list(reader.lay_out(pairs))
    except SentenceTooLongError:
        if len(pairs) == 1:
            return [None]
    middle = len(pairs) // 2
    return [*lay_out_fitting(reader, pairs[:middle]), *lay_out_fitting(reader, pairs[middle:])]


def has_words(layout: Layout) -> bool:
    """Whether both sides of every block have a token that belongs to a word."""
    blocks = [block for blocks in layout.blocks.values() for block in blocks]
    return all(bool((block.row_words >= 0).any()) and bool((block.column_words >= 0).any()) for block in blocks)


class _Choice(NamedTuple):
    """Which layers and heads are needed (numbers from 1), and the names of what is given: numbers and aggregates."""

    layers: tuple[int, ...]
    layer_names: tuple[Number, ...]
    heads: tuple[int, ...]
    head_names: tuple[Number, ...]


class _Wanted(NamedTuple):
    """What is kept of a forward pass; ``rules`` of keys and queries by which it is pooled to words, if it is."""

    choice: _Choice
    readings: tuple[str, ...]
    rules: tuple[str, str] | None = None
    on_host: bool = False


def _choose(model: PairModel, layers: Any, heads: Any) -> _Choice:
    def one(given: Any, count: int, what: str, *aggregates: str) -> tuple[tuple[int, ...], tuple[Number, ...]]:
        names: list[Number] = []
        for item in [given] if isinstance(given, (int, str)) else given:
            if item == "all":
                names += range(1, count + 1)
            elif isinstance(item, str) and item not in aggregates:
                raise UnknownNameError(f"choice of {what}s", item, ("all", *aggregates))
            elif isinstance(item, str) or (isinstance(item, int) and 1 <= item <= count):
                names.append(item)
            else:
                raise InputError(f"{model.name} has no {what} {item!r}", remedy=f"Choose from 1 to {count}")
        if not names:
            raise InputError(f"no {what} is asked for", remedy=f"Choose from 1 to {count}, or all")
        unique = tuple(dict.fromkeys(names))
        numbers = tuple(name for name in unique if isinstance(name, int))
        return numbers if len(numbers) == len(unique) else tuple(range(1, count + 1)), unique

    whole = ((1,), (WHOLE,))
    head_choice = whole if model.headless else one(heads, model.heads, "head", "mean", "max")
    return _Choice(*one(layers, model.layers, "layer", "mean"), *head_choice)


def _stream(
    reader: PairModel, layouts: Sequence[Layout | None], wanted: _Wanted, token_budget: int | None
) -> Iterator[ScoreMatrix]:
    live = {k: layout for k, layout in enumerate(layouts) if layout is not None}
    numbers = list(live)
    tokens = budget_of(token_budget, reader.device, reader.hidden_size)
    groups = buckets([layout.size for layout in live.values()], tokens, overhead=OVERHEAD) if live else []
    batches = [[numbers[g] for g in group] for group in groups]

    def read(members: Sequence[int]) -> ScoreMatrix:
        return replace(_read(reader, [live[k] for k in members], wanted), indices=tuple(members))

    for _, matrix in in_halves(batches, read):
        yield matrix


def token_blocks(
    reader: PairModel, layouts: Sequence[Layout | None], readings: Sequence[str], token_budget: int | None = None
) -> Iterator[tuple[list[int], int, str, Tensor, Tensor, Tensor]]:
    """The rows of target tokens over the whole context, batch by batch, layer by layer.

    Gives the positions of the pairs, the layer (from 1), the reading, the weights ``(B, heads, rows, context)``, and
    the words ``(B, rows)`` and ``(B, context)`` of both axes, -1 for what is no word of its side.
    """
    live = [k for k, layout in enumerate(layouts) if layout is not None]
    found = [layouts[k] for k in live]
    tokens = budget_of(token_budget, reader.device, reader.hidden_size)
    groups = buckets([layout.size for layout in found if layout], tokens, overhead=OVERHEAD) if live else []
    every = _choose(reader, "all", "all")
    for group in groups:
        batch = [layout for g in group if (layout := found[g]) is not None]
        blocks = {
            reading: [b for b in _padded_blocks(batch, reading, reader.device, None) if b.side == "target"]
            for reading in readings
        }
        with torch.no_grad():
            for layer, weights in reader.attention(batch, every.layers):
                wide = at_least_float32(weights)
                for reading in readings:
                    for block in blocks[reading]:
                        values, _ = block.take(wide, every)
                        yield [live[g] for g in group], layer, reading, values, block.row_words, block.column_words


def _read(reader: PairModel, layouts: list[Layout], wanted: _Wanted) -> ScoreMatrix:
    """Run one batch; each layer is reduced to what is kept of it while the forward pass waits."""
    choice, readings, rules = wanted.choice, wanted.readings, wanted.rules
    both = len(layouts[0].blocks[readings[0]]) > 1
    if rules is None and both:  # the mean of two blocks is between words
        rules = ("sum", "mean")
    blocks = {reading: _padded_blocks(layouts, reading, reader.device, rules) for reading in readings}
    heads = torch.tensor(choice.heads, device=reader.device) - 1
    found: dict[tuple[Number, str], Taken] = {}
    with torch.no_grad():
        rows = _rows(layouts, readings, reader.device)
        for layer, weights in reader.attention(layouts, choice.layers):
            wide = at_least_float32(weights)
            del weights
            _check(wide, layer, reader, layouts, rows)
            wide = wide if len(heads) == wide.shape[1] else wide[:, heads]
            for reading in readings:
                taken = [block.take(wide, choice) for block in blocks[reading]]
                if wanted.on_host:
                    taken = [(values.cpu(), left.cpu()) for values, left in taken]
                if layer in choice.layer_names:
                    found[layer, reading] = taken
                if "mean" in choice.layer_names:
                    before = found.get(("mean", reading))
                    if before is not None:
                        taken = [(a + c, b + d) for (a, b), (c, d) in zip(before, taken, strict=True)]
                    found["mean", reading] = taken
            del wide
    for reading in readings if "mean" in choice.layer_names else ():
        found["mean", reading] = [(a / reader.layers, b / reader.layers) for a, b in found["mean", reading]]
    parts = [_oriented(blocks[reading], found[layer, reading]) for reading in readings for layer in choice.layer_names]
    values = torch.cat([scores for scores, _ in parts])
    first = blocks[readings[0]][0]
    source, target = (
        replace(_side(layouts, first, name, values.device), left_out=torch.cat([left[name] for _, left in parts]))
        for name in ("source", "target")
    )
    views = tuple(View(a, b, reading) for reading in readings for a in choice.layer_names for b in choice.head_names)
    return ScoreMatrix(
        values, source, target, views,
        reader.quantity + (", mean of both blocks" if both and len(readings) == 1 else ""), reader.distribution,
        reader.name, tuple(layout.pair.id for layout in layouts),
    )  # fmt: skip


@dataclass(frozen=True)
class _Padded:
    """One block of each pair of a batch: rows ``(B, R)``, their words and those of the columns ``(B, K)``; -1: none."""

    blocks: list[Block]
    rules: tuple[str, str] | None
    rows: Tensor
    row_words: Tensor
    column_words: Tensor
    #: Words of the rows and of the columns, at most.
    sizes: tuple[int, int]

    @property
    def side(self) -> str:
        return self.blocks[0].side

    def take(self, weights: Tensor, choice: _Choice) -> tuple[Tensor, Tensor]:
        """Its rows of ``(B, H, Q, K)``, pooled to words by its rules, of the heads named; and what is left out."""
        if not self._whole:
            index = self.rows[:, None, :, None].expand(-1, weights.shape[1], -1, weights.shape[3])
            weights = weights.gather(2, index)
        weights = weights[:, :, : self.rows.shape[1], : self.column_words.shape[1]]
        left = torch.einsum("bhqk,bk->bhq", weights, (self.column_words < 0).to(weights.dtype))
        if self.rules is not None:
            weights = pool(weights, self.row_words, self.column_words, *self.sizes, *self.rules)
            left = pool_last_axis(left, self.row_words, self.sizes[0], self.rules[1])
        return _heads(weights, choice), _heads(left, choice)

    @functools.cached_property
    def _whole(self) -> bool:
        """Whether its rows are the first of the matrix, so that they need not be gathered."""
        return all(np.array_equal(block.rows, np.arange(len(block.rows))) for block in self.blocks)


def _padded_blocks(
    layouts: Sequence[Layout], reading: str, device: torch.device, rules: tuple[str, str] | None
) -> list[_Padded]:
    sides = ("source", "target")
    counts = {side: max(len(getattr(layout.pair, side)) for layout in layouts) for side in sides}
    out = []
    for blocks in map(list, zip(*(layout.blocks[reading] for layout in layouts), strict=True)):
        rows, columns = sides if blocks[0].side == "source" else sides[::-1]
        places = padded_tensor([block.rows for block in blocks], 0, device)
        row_words = padded_tensor([block.row_words for block in blocks], -1, device)
        column_words = padded_tensor([block.column_words for block in blocks], -1, device)
        out.append(_Padded(blocks, rules, places, row_words, column_words, (counts[rows], counts[columns])))
    return out


def _rows(layouts: Sequence[Layout], readings: Sequence[str], device: torch.device) -> Tensor:
    """``(B, T)`` bool: the rows that belong to a block of one of the readings."""
    rows = np.zeros((len(layouts), max(layout.size for layout in layouts) + 1), dtype=bool)
    for b, layout in enumerate(layouts):
        for reading in readings:
            for block in layout.blocks[reading]:
                rows[b, block.rows] = True
    return torch.from_numpy(rows).to(device)


def _check(weights: Tensor, layer: int, model: PairModel, layouts: Sequence[Layout], rows: Tensor) -> None:
    """Check that ``rows`` of ``(B, H, Q, K)`` are distributions (see :func:`check_rows`), or finite."""
    rows = torch.nn.functional.pad(rows, (0, max(0, weights.shape[2] - rows.shape[1])))[:, : weights.shape[2]]
    rows = rows[:, None, :].expand(weights.shape[:3])
    pairs = [layout.pair.id for layout in layouts]
    if model.distribution:
        check_rows(weights, layer, model.name, model.dtype, rows=rows, pairs=pairs)
    elif bool((bad := ~torch.isfinite(weights).all(dim=-1) & rows).any()):
        raise not_finite(f"{model.quantity} of layer {layer}", model.name, bad, pairs)


def _heads(values: Tensor, choice: _Choice) -> Tensor:
    """``(B, heads read, ...)`` -> ``(B, heads named, ...)``."""
    if choice.head_names in (choice.heads, (WHOLE,)):
        return values
    aggregates = {"mean": lambda: values.mean(dim=1), "max": lambda: values.amax(dim=1)}
    return torch.stack(
        [
            values[:, choice.heads.index(name)] if isinstance(name, int) else aggregates[name]()
            for name in choice.head_names
        ],
        dim=1,
    )


def _oriented(blocks: list[_Padded], taken: Taken) -> tuple[Tensor, dict[str, Tensor]]:
    """A reading of a layer as ``(heads, B, source, target)``, blocks averaged, and what each side left out."""
    turned, left = [], {}
    for block, (values, rest) in zip(blocks, taken, strict=True):
        turned.append((values.transpose(-1, -2) if block.side == "target" else values).transpose(0, 1))
        left[block.side] = rest.transpose(0, 1)
    mean = turned[0] if len(turned) == 1 else torch.stack(turned).mean(dim=0)
    for name, size in (("source", mean.shape[2]), ("target", mean.shape[3])):
        if name not in left:
            left[name] = mean.new_full((*mean.shape[:2], size), torch.nan)
    return mean, left


def _side(layouts: Sequence[Layout], block: _Padded, name: str, device: torch.device) -> Side:
    """One side of a batch: its tokens, or its words."""
    row = block.side == name
    text = tuple(tuple(getattr(layout.pair, name)) for layout in layouts)
    labels = tuple(b.row_labels if row else b.column_labels for b in block.blocks)
    words = (block.row_words if row else block.column_words).to(device)
    side = Side(words, tuple(map(len, labels)), tuple(map(len, text)), text, labels)
    return side if block.rules is None else word_side(side, None)
