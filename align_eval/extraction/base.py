"""What all extraction methods share: a batch of score matrices in, a batch of link matrices out.

A batch is a tensor ``(B, M, N)`` of scores between the M rows (source) and N columns (target) of B pairs, padded at
the end of both axes, true sizes in ``source_lengths`` and ``target_lengths`` ``(B,)``. What lies in the padding
does not matter: every method ignores it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from align_eval.errors import InputError
from align_eval.options import check_fields, options_of, parse_options, split_spec
from align_eval.registry import Registry

if TYPE_CHECKING:
    from align_eval.signals.matrix import ScoreMatrix


@dataclasses.dataclass(frozen=True)
class Extraction:
    """Links of a batch of pairs.

    Attributes:
        links: ``(B, M, N)`` bool, true where a link is; false in the padding.
        scores: ``(B, M, N)`` float, how sure each cell is, 0..1 (only cells with a link are meant to be read).
    """

    links: Tensor
    scores: Tensor


EXTRACTORS: Registry[type[Extractor]] = Registry("extraction method", "align_eval.extraction")


@dataclasses.dataclass(frozen=True)
class Extractor(ABC):
    """An extraction method: a subclass registers itself by its name; its options are the fields of the dataclass.

    ``needs`` names the scores it is defined on: ``"similarity"``, (cosine + 1) / 2 in 0..1, or ``"dot"``, the raw dot
    product. Methods that need ``"similarity"`` also take any other non-negative score matrix, such as attention.
    """

    name: ClassVar[str]
    needs: ClassVar[str] = "similarity"

    def __init_subclass__(cls, name: str) -> None:
        cls.name = name
        EXTRACTORS.register(name)(cls)

    def __post_init__(self) -> None:
        check_fields(self, f"the method {self.name}")

    def __call__(self, scores: Tensor, source_lengths: Tensor, target_lengths: Tensor) -> Extraction:
        """Extract links from ``scores`` ``(B, M, N)``; see the module for the shapes.

        Raises:
            InputError: shapes that do not fit together.
        """
        if scores.ndim != 3 or source_lengths.shape != scores.shape[:1] or target_lengths.shape != scores.shape[:1]:
            raise InputError(
                f"scores {tuple(scores.shape)} with lengths {tuple(source_lengths.shape)} and "
                f"{tuple(target_lengths.shape)}",
                remedy="Pass scores (B, M, N) and two length vectors (B,)",
            )
        return self.masked(scores, cell_mask(scores, source_lengths, target_lengths))

    def of(self, matrix: ScoreMatrix) -> Extraction:
        """Extract the links of every head and pair, ``(V, B, M, N)``; what is no word has none."""
        views, pairs, rows, columns = matrix.values.shape
        mask = matrix.mask.expand(views, pairs, rows, columns).flatten(0, 1)
        found = self.masked(matrix.values.flatten(0, 1), mask)
        return Extraction(*(part.unflatten(0, (views, pairs)) for part in (found.links, found.scores)))

    def masked(self, scores: Tensor, mask: Tensor) -> Extraction:
        """Extract links from ``scores`` ``(B, M, N)``; cells where ``mask`` is false have none and do not count."""
        if scores.numel() == 0:
            return Extraction(mask, scores.clone())
        result = self.extract(scores, mask)
        return Extraction(result.links & mask, result.scores)

    @abstractmethod
    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        """The method itself. ``mask`` ``(B, M, N)`` is false in the padding."""

    @property
    def spec(self) -> str:
        """The name with the options that differ from their defaults: ``softmax:threshold=0.01``."""
        changed = [
            f"{f.name}={getattr(self, f.name)}" for f in dataclasses.fields(self) if getattr(self, f.name) != f.default
        ]
        return self.name + (":" + ",".join(changed) if changed else "")


def make_extractor(spec: str | Extractor) -> Extractor:
    """Build an extraction method from ``name`` or ``name:option=value,option=value``.

    Raises:
        UnknownNameError: unknown method or option; the message lists what exists.
        InputError: a value of the wrong kind or out of its range, an option given twice.

    >>> make_extractor("softmax:threshold=0.01").spec
    'softmax:threshold=0.01'
    """
    if isinstance(spec, Extractor):
        return spec
    name, tail = split_spec(spec)
    method = EXTRACTORS.get(name)
    return method(**parse_options(f"the method {name}", tail, options_of(method)))


def cell_mask(scores: Tensor, source_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """``(B, M, N)`` bool: true for the cells that belong to a pair, false in the padding."""
    _, rows, columns = scores.shape
    inside_source = torch.arange(rows, device=scores.device) < source_lengths[:, None]
    inside_target = torch.arange(columns, device=scores.device) < target_lengths[:, None]
    return inside_source[:, :, None] & inside_target[:, None, :]


def row_maxima(scores: Tensor, mask: Tensor) -> Tensor:
    """``(B, M, N)`` bool: the first greatest cell of every row (none in rows of padding)."""
    filled = scores.masked_fill(~mask, -torch.inf)
    best = filled.argmax(dim=2, keepdim=True)
    return torch.zeros_like(mask).scatter_(2, best, True) & mask


def column_maxima(scores: Tensor, mask: Tensor) -> Tensor:
    """``(B, M, N)`` bool: the first greatest cell of every column (none in columns of padding)."""
    filled = scores.masked_fill(~mask, -torch.inf)
    best = filled.argmax(dim=1, keepdim=True)
    return torch.zeros_like(mask).scatter_(1, best, True) & mask


def any_subword(
    result: Extraction,
    source_words: Tensor,
    target_words: Tensor,
    source_count: int,
    target_count: int,
) -> Extraction:
    """Links between words: two words are linked if ANY of their sub-word pairs is (SimAlign, awesome-align).

    Args:
        result: links ``(B, M, N)`` between sub-words.
        source_words: ``(B, M)`` int64, the word that each source sub-word belongs to; any value in the padding.
        target_words: ``(B, N)`` likewise.
        source_count, target_count: sizes of the word axes of the result.

    Returns:
        links and scores ``(B, source_count, target_count)``; a word link has the best score of its sub-word links.
    """
    batch, rows, columns = result.links.shape
    values = result.scores.masked_fill(~result.links, -torch.inf)
    shape = (batch, source_count, columns)
    by_row = values.new_full(shape, -torch.inf)
    index = source_words.clamp(0, max(source_count - 1, 0))[:, :, None].expand(batch, rows, columns)
    by_row.scatter_reduce_(1, index, values, "amax")
    out = values.new_full((batch, source_count, target_count), -torch.inf)
    index = target_words.clamp(0, max(target_count - 1, 0))[:, None, :].expand(shape)
    out.scatter_reduce_(2, index, by_row, "amax")
    links = out > -torch.inf
    return Extraction(links, out.masked_fill(~links, 0.0))
