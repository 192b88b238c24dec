"""The score matrix: how strongly each source unit of a sentence pair goes with each target unit, for a batch of pairs.

Every attribution method gives this one value, and extraction methods and figures take it. Units are words, or tokens
with the special ones. All tensors are padded at the end of each axis and stay on their device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from align_eval.errors import InputError, NonFiniteError, UnknownNameError
from align_eval.models.batching import padded

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from numpy.typing import NDArray

    from align_eval.models.tokens import IdArray

Number = int | str
RULES = ("sum", "mean", "max", "first", "last")
"""How tokens become words: the sum over the tokens of a word, their mean, ..., the first or the last token alone."""


class View(NamedTuple):
    """Layer and head, from 1, or ``"mean"`` / ``"max"`` over them; see :data:`align_eval.models.pairs.READINGS`."""

    layer: Number
    head: Number
    reading: str

    def __str__(self) -> str:
        return f"layer {self.layer}, head {self.head}, {self.reading}"


@dataclass(frozen=True)
class Side:
    """The source or the target side of the B pairs of a batch."""

    #: ``(B, M)`` int64: the word (0-based) of each unit; -1 for what is no word (special tokens, language codes, the
    #: rest of the context), for words without a token, and in the padding.
    words: Tensor
    #: Units of each pair, words of each pair.
    lengths: tuple[int, ...]
    counts: tuple[int, ...]
    #: The words of each pair; empty if they are not known. Its units as they are shown; empty: the words.
    text: tuple[tuple[str, ...], ...] = ()
    labels: tuple[tuple[str, ...], ...] = ()
    #: ``(V, B, M)``: how much of each unit's row lies on units of the other side that are no word; NaN where this side
    #: does not attend; ``None``: nothing was left out.
    left_out: Tensor | None = None

    def units(self, pair: int) -> tuple[str, ...]:
        """The units of a pair as they are shown; their numbers where nothing else is known."""
        named = self.labels or self.text
        return named[pair] if named else tuple(str(k) for k in range(self.lengths[pair]))

    def inside(self) -> Tensor:
        """``(B, M)`` bool, false in the padding."""
        lengths = torch.tensor(self.lengths, device=self.words.device)
        return torch.arange(self.words.shape[1], device=self.words.device) < lengths[:, None]

    def pick(self, pairs: Sequence[int], size: int | None = None) -> Side:
        """The side of some pairs, by position; ``size``: the units that are kept, all by default."""
        rows = torch.tensor(list(pairs), dtype=torch.int64, device=self.words.device)
        left = None if self.left_out is None else self.left_out[:, rows, :size]
        parts = {key: _picked(getattr(self, key), pairs) for key in ("lengths", "counts", "text", "labels")}
        return replace(self, words=self.words[rows, :size], left_out=left, **parts)

    def changed(self, change: Callable[[Tensor], Tensor]) -> Side:
        """``change`` made to what was left out."""
        return self if self.left_out is None else replace(self, left_out=change(self.left_out))


@dataclass(frozen=True)
class ScoreMatrix:
    """Scores of V heads (or layers) for B sentence pairs.

    ``matrix[2]`` is the pair 2 alone, without padding; :meth:`select` gives one head.

    Attributes:
        values: ``(V, B, M, N)`` float32 or float64; M source units, N target units. Half precision is widened. What
            lies in the padding has no meaning.
        source, target: the two sides.
        views: layer, head and reading of each of the V.
        quantity: what the values are, with its unit, as a figure names it.
        distribution: whether the row of each attending unit sums to 1, units that are no word counted.
        model: name of the model.
        ids: names of the pairs, for messages.
        indices: positions of the pairs in what was given.

    Raises:
        InputError: parts whose shapes do not fit together.
        NonFiniteError: a value is NaN or infinite; names the pair.
    """

    values: Tensor
    source: Side
    target: Side
    views: tuple[View, ...]
    quantity: str
    distribution: bool = False
    model: str = ""
    ids: tuple[str, ...] = ()
    indices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", at_least_float32(self.values))
        sides = (self.source, self.target)
        shape = (len(self.views), len(self), *(side.words.shape[1] for side in sides))
        labels = [len(units) for side in sides for units in side.labels]
        if tuple(self.values.shape) != shape or labels != [n for side in sides if side.labels for n in side.lengths]:
            raise InputError(
                f"values {tuple(self.values.shape)} do not fit {shape[0]} heads, {shape[1]} pairs, {shape[2]} source "
                f"and {shape[3]} target units with {labels} labels"
            )
        self.check_finite()

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.source.lengths)

    def __repr__(self) -> str:
        readings = ", ".join(dict.fromkeys(view.reading for view in self.views if view.reading))
        shape = "{} heads, {} sentence pairs, {} x {} units".format(*self.values.shape)
        of = f" of {self.model}" if self.model else ""
        return f"ScoreMatrix({self.quantity}{of}{f', {readings}' if readings else ''}: {shape})"

    def __getitem__(self, pair: int) -> ScoreMatrix:
        return self.pick([pair], self.source.lengths[pair], self.target.lengths[pair])

    def pick(self, pairs: Sequence[int], rows: int | None = None, columns: int | None = None) -> ScoreMatrix:
        """Some of the pairs, by position; ``rows`` and ``columns``: the units that are kept, all by default."""
        index = torch.tensor(list(pairs), dtype=torch.int64, device=self.values.device)
        return replace(
            self, values=self.values[:, index, :rows, :columns], source=self.source.pick(pairs, rows),
            target=self.target.pick(pairs, columns), ids=_picked(self.ids, pairs),
            indices=_picked(self.indices, pairs),
        )  # fmt: skip

    @property
    def mask(self) -> Tensor:
        """``(B, M, N)`` bool: true for cells of two words, which alone can be linked."""
        return (self.source.words >= 0)[:, :, None] & (self.target.words >= 0)[:, None, :]

    @property
    def attends(self) -> str:
        """``"target"`` or ``"source"``: whose units attend to those of the other side (the queries)."""
        return "source" if all(view.reading == "block-st" for view in self.views) else "target"

    @property
    def queries(self) -> Side:
        """The side that attends."""
        return self.target if self.attends == "target" else self.source

    @property
    def keys(self) -> Side:
        """The side that is attended to."""
        return self.source if self.attends == "target" else self.target

    @property
    def layers(self) -> tuple[Number, ...]:
        """The layers, in the order of the views."""
        return tuple(dict.fromkeys(view.layer for view in self.views))

    @property
    def heads(self) -> tuple[Number, ...]:
        """The heads, in the order of the views."""
        return tuple(dict.fromkeys(view.head for view in self.views))

    @property
    def reading(self) -> str:
        """The alignment mode of the views, of which there is one."""
        return self.views[0].reading

    def check_finite(self) -> None:
        """Check that no value outside of the padding is NaN or infinite, else NonFiniteError names the first pair."""
        if bool(torch.isfinite(self.values.sum())):  # one pass; a sum is never finite if one number is not
            return
        inside = self.source.inside()[:, :, None] & self.target.inside()[:, None, :]
        bad = (~torch.isfinite(self.values) & inside).transpose(0, 1).flatten(1).any(dim=1)
        if bool(bad.any()):
            first = int(bad.nonzero()[0])
            of = f" of {self.model}" if self.model else ""
            name = f" of sentence pair {self.ids[first]}" if self.ids else ""
            raise NonFiniteError(
                f"the {self.quantity}{of}{name} has NaN or infinite values",
                remedy="Load the model with --dtype float32, or take another layer",
            )

    def by_head(self, pair: int = 0) -> Tensor:
        """The scores of one pair, ``(layers, heads, queries, keys)``, without padding: rows attend to columns.

        Raises:
            InputError: the views are not all heads of some layers in one reading.
        """
        part = self.values[:, pair, : self.source.lengths[pair], : self.target.lengths[pair]]
        return self._grid(part.transpose(1, 2) if self.attends == "target" else part)

    def mass_left_out(self, pair: int = 0) -> Tensor:
        """How much of each row of :meth:`by_head` lies on columns that are no word, ``(layers, heads, queries)``."""
        left, size = self.queries.left_out, self.queries.lengths[pair]
        return self._grid(self.values.new_zeros((len(self.views), size)) if left is None else left[:, pair, :size])

    def _grid(self, values: Tensor) -> Tensor:
        layers, heads = self.layers, self.heads
        readings = dict.fromkeys(view.reading for view in self.views)
        if self.views != tuple(View(a, b, c) for c in readings for a in layers for b in heads) or len(readings) > 1:
            raise InputError(f"{len(self.views)} views are no grid of layers and heads", remedy="Choose one reading")
        return values.unflatten(0, (len(layers), len(heads)))

    def select(
        self, layer: Number | None = None, head: Number | None = None, reading: str | None = None
    ) -> ScoreMatrix:
        """The matrices of one head; what is not named must be of one kind.

        Raises:
            InputError: there is no such head, or several are.
        """
        asked = (layer, head, reading)
        fits = [all(name in (None, own) for name, own in zip(asked, view, strict=True)) for view in self.views]
        wanted = [k for k, fit in enumerate(fits) if fit]
        if not wanted:
            none = (
                f"no head {head} of layer {layer}" if layer in self.layers else f"no layer {layer} among the matrices"
            )
            raise InputError(none, remedy=f"Kept are the layers {list(self.layers)} and the heads {list(self.heads)}")
        if len(wanted) > 1:
            remedy = f"Choose one of the layers {list(self.layers)} and of the heads {list(self.heads)}"
            raise InputError(f"the matrix has {len(wanted)} heads", remedy=remedy)
        return self.with_views(wanted)

    def with_views(self, numbers: Sequence[int]) -> ScoreMatrix:
        """Some of the views, by number, in that order."""
        return self._changed(lambda values: values[list(numbers)], tuple(self.views[k] for k in numbers))

    def _changed(self, change: Any, views: tuple[View, ...], more: str = "") -> ScoreMatrix:
        """``change`` made to everything that has an axis of views; ``more`` is said of the quantity."""
        source, target, quantity = self.source.changed(change), self.target.changed(change), self.quantity + more
        return replace(self, values=change(self.values), source=source, target=target, views=views, quantity=quantity)

    def head_mean(self) -> ScoreMatrix:
        """One matrix a layer: the mean over the heads kept."""
        views = tuple(View(layer, "mean", self.reading) for layer in self.layers)
        return self._changed(lambda x: self._grid(x).mean(dim=1), views, ", mean over heads")

    def head_max(self) -> ScoreMatrix:
        """One matrix a layer: the maximum over the heads kept; its rows no longer sum to 1."""
        views = tuple(View(layer, "max", self.reading) for layer in self.layers)
        found = self._changed(lambda x: self._grid(x).amax(dim=1), views, ", max over heads")
        return replace(found, distribution=False)

    def layer_mean(self) -> ScoreMatrix:
        """One matrix a head: the mean over the layers kept."""
        views = tuple(View("mean", head, self.reading) for head in self.heads)
        return self._changed(lambda x: self._grid(x).mean(dim=0), views, ", mean over layers")

    def words(self, keys: str = "sum", queries: str = "mean") -> ScoreMatrix:
        """Scores between words, ``(V, B, source words, target words)``: tokens pooled by rule, no other unit kept.

        ``keys``, ``queries``: ``"sum"``, ``"mean"``, ``"max"``, ``"first"``, ``"last"``, else UnknownNameError. A word
        without a token has zeros and cannot be linked. Rows sum to 1 less what is left out, if they did, ``keys`` is
        ``"sum"`` and ``queries`` not ``"max"``.
        """
        rows, columns = self.queries, self.keys
        sizes = max(rows.counts, default=0), max(columns.counts, default=0)
        turned = self.attends == "target"
        flat = (self.values.transpose(-1, -2) if turned else self.values).transpose(0, 1)  # (B, V, queries, keys)
        values = pool(flat, rows.words, columns.words, *sizes, keys, queries).transpose(0, 1)
        left = None
        if rows.left_out is not None:
            left = pool_last_axis(rows.left_out.transpose(0, 1), rows.words, sizes[0], queries).transpose(0, 1)
        sides = word_side(rows, left), word_side(columns, None)
        source, target = sides[::-1] if turned else sides
        return replace(self, values=values.transpose(-1, -2) if turned else values, source=source, target=target)

    def renormalise(self) -> ScoreMatrix:
        """Rows that sum to 1 over words alone: columns that are no word become 0; what was left out stays as it was.

        A row without any mass on words stays 0.
        """
        words = self.keys.words >= 0
        kept, rows = (words[:, :, None], 2) if self.attends == "target" else (words[:, None, :], 3)
        values = renormalise(self.values.masked_fill(~kept, 0), rows)
        return replace(self, values=values, quantity=f"{self.quantity}, renormalised over words")

    def word_keys(self) -> ScoreMatrix:
        """One pair without the columns that are no word."""
        kept = self.keys.words[0] >= 0
        labels = tuple(label for label, keep in zip(self.keys.units(0), kept.tolist(), strict=True) if keep)
        side = replace(
            self.keys, words=self.keys.words[:, kept], lengths=(len(labels),), labels=(labels,), left_out=None
        )
        if self.attends == "target":
            return replace(self, values=self.values[:, :, kept], source=side)
        return replace(self, values=self.values[..., kept], target=side)

    def numpy(self) -> NDArray[np.floating]:
        """The values as an array ``(V, B, M, N)``."""
        array: NDArray[np.floating] = self.values.detach().cpu().numpy()
        return array

    def cpu(self) -> ScoreMatrix:
        """The same off its device."""
        source, target = (
            replace(side.changed(torch.Tensor.cpu), words=side.words.cpu()) for side in (self.source, self.target)
        )
        return replace(self, values=self.values.cpu(), source=source, target=target)

    def to_frame(self) -> pandas.DataFrame:
        """A row a cell: pair, layer, head, reading, source and target unit with their words (0-based; -1), score."""
        import pandas

        rows, whole = [], self.cpu()
        for b, (m, n) in enumerate(zip(self.source.lengths, self.target.lengths, strict=True)):
            source, target = whole.source.units(b), whole.target.units(b)
            words = whole.source.words[b].tolist(), whole.target.words[b].tolist()
            name = self.ids[b] if self.ids else str(b)
            for view, values in zip(self.views, whole.values[:, b, :m, :n].tolist(), strict=True):
                rows += [
                    (name, *view, source[i], target[j], words[0][i], words[1][j], values[i][j])
                    for i in range(m)
                    for j in range(n)
                ]
        columns = ["pair", *View._fields, "source", "target", "source_word", "target_word", "score"]
        return pandas.DataFrame(rows, columns=columns)

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        from align_eval.figures.heatmap import maps_bundle

        return maps_bundle(self)


def _picked(parts: tuple[Any, ...], numbers: Sequence[int]) -> tuple[Any, ...]:
    return tuple(parts[k] for k in numbers) if parts else ()


def padded_tensor(arrays: Sequence[IdArray], fill: int, device: torch.device) -> Tensor:
    """Arrays of different length as one ``(B, T)`` on a device, filled at the end."""
    return torch.from_numpy(padded(arrays, fill)[0]).to(device, non_blocking=True)


def word_side(side: Side, left_out: Tensor | None) -> Side:
    """The words of a side as its units; those without a token cannot be linked."""
    size = max(side.counts, default=0)
    places = torch.arange(size, device=side.words.device)
    present = (side.words[:, :, None] == places).any(dim=1)
    return Side(torch.where(present, places, -1), side.counts, side.counts, side.text, (), left_out)


def at_least_float32(values: Tensor) -> Tensor:
    """``values`` in float32, or in float64 if that is what they are: sums of half-precision numbers lose digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def require_rule(rule: str) -> None:
    """Raise :class:`UnknownNameError` unless ``rule`` is one of :data:`RULES`."""
    if rule not in RULES:
        raise UnknownNameError("rule for sub-words", rule, RULES)


def pool_last_axis(values: Tensor, words: Tensor, count: int, rule: str) -> Tensor:
    """Pool the last axis of ``(B, ..., K)`` to ``(B, ..., count)`` by a rule of :data:`RULES`.

    ``words``: ``(B, K)`` int64, the word (0-based) of each position; -1 leaves it out. A word without a token is 0.
    """
    require_rule(rule)
    flat = values.flatten(1, -2) if values.ndim > 2 else values[:, None]
    if rule == "max":
        index = torch.where(words < 0, count, words)[:, None, :].expand_as(flat)
        out = flat.new_full((*flat.shape[:2], count + 1), -torch.inf)
        out = out.scatter_reduce_(2, index, flat, "amax")[..., :count]
        out = out.masked_fill(out == -torch.inf, 0)
    else:
        member = words[:, :, None] == torch.arange(count, device=words.device)  # (B, K, count)
        if rule == "first":
            member = member & (member.cumsum(dim=1) == 1)
        elif rule == "last":
            member = member & (member.flip(1).cumsum(dim=1).flip(1) == 1)
        weights = member.to(values.dtype)
        if rule == "mean":
            weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
        out = torch.bmm(flat, weights)
    return out.reshape(*values.shape[:-1], count)


def pool(
    values: Tensor, row_words: Tensor, column_words: Tensor, rows: int, columns: int, keys: str, queries: str
) -> Tensor:
    """Pool the columns (keys), then the rows (queries) of ``(B, H, Q, K)`` to ``(B, H, rows, columns)``.

    The default everywhere is that of ALTI and of Kobayashi et al. 2020: the sum over the tokens of a key word, the mean
    over those of a query word. A row of weights that sums to 1 then still sums to 1. See :func:`pool_last_axis`.
    """
    by_key = pool_last_axis(values, column_words, columns, keys)
    return pool_last_axis(by_key.transpose(-1, -2), row_words, rows, queries).transpose(-1, -2)


def renormalise(values: Tensor, dim: int = -1) -> Tensor:
    """Divide each row (the axis ``dim``) by its sum; rows that sum to 0 stay 0."""
    sums = values.sum(dim=dim, keepdim=True)
    return values / torch.where(sums == 0, torch.ones_like(sums), sums)
