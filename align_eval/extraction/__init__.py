"""Score matrix -> links: a batch of score matrices in, a batch of link matrices out.

A batch is a tensor ``(B, M, N)`` of scores between the M rows (source) and N columns (target) of B pairs, and a mask of
the same shape that is false in the padding. What lies there does not matter: every method ignores it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.errors import InputError, NonFiniteError
from align_eval.links import Links
from align_eval.links.table import LinkTable
from align_eval.registry import Registry, check_fields, options_of, parse_options, split_spec

if TYPE_CHECKING:
    from align_eval.attribution.matrix import ScoreMatrix

EXTRACTORS: Registry[type[Extractor]] = Registry("extraction method", "align_eval.extraction")


@dataclasses.dataclass(frozen=True)
class Extraction:
    """Links of a batch of pairs."""

    #: ``(B, M, N)`` bool, true where a link is; false in the padding.
    links: Tensor
    #: ``(B, M, N)`` float, how sure each cell is, 0..1 (only cells with a link are meant to be read).
    scores: Tensor


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

    def of(self, matrix: ScoreMatrix) -> Extraction:
        """Extract the links of every head and pair, ``(V, B, M, N)``; what is no word has none."""
        heads, pairs, rows, columns = matrix.values.shape
        mask = matrix.mask.expand(heads, pairs, rows, columns).flatten(0, 1)
        found = self.masked(matrix.values.flatten(0, 1), mask)
        return Extraction(*(part.unflatten(0, (heads, pairs)) for part in (found.links, found.scores)))

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
        values = [(f, getattr(self, f.name)) for f in dataclasses.fields(self)]
        changed = [f"{f.name}={value}" for f, value in values if value != f.default]
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


def row_maxima(scores: Tensor, mask: Tensor) -> Tensor:
    """``(B, M, N)`` bool: the first greatest cell of every row (none in rows of padding)."""
    return _maxima(scores, mask, 2)


def column_maxima(scores: Tensor, mask: Tensor) -> Tensor:
    """``(B, M, N)`` bool: the first greatest cell of every column (none in columns of padding)."""
    return _maxima(scores, mask, 1)


def _maxima(scores: Tensor, mask: Tensor, dim: int) -> Tensor:
    best = scores.masked_fill(~mask, -torch.inf).argmax(dim=dim, keepdim=True)
    return torch.zeros_like(mask).scatter_(dim, best, True) & mask


def any_subword(
    result: Extraction, source_words: Tensor, target_words: Tensor, source_count: int, target_count: int
) -> Extraction:
    """Links between words: two words are linked if ANY of their token pairs is (SimAlign, awesome-align).

    ``result``: links ``(B, M, N)`` between tokens; ``source_words`` ``(B, M)`` and ``target_words`` ``(B, N)`` int64:
    the word of each token, any value in the padding. Links and scores are ``(B, source_count, target_count)``; a word
    link has the best score of its token links.
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


def links_from_matrix(matrix: Any, method: str | Extractor = "argmax") -> Links | LinkTable:
    """The links that an extraction method finds in score matrices.

    Args:
        matrix: of one sentence pair ``(source words, target words)``, or of many: a list of them, of any sizes, an
            array ``(pairs, source words, target words)``, or a :class:`align_eval.ScoreMatrix` of one head.
            Arrays of numpy and anything that turns into one (lists of rows, torch tensors on any device); higher is
            surer.
        method: ``argmax`` or another extraction method with its options, ``softmax:threshold=0.01``.

    Returns:
        :class:`Links` of one matrix, 0-based, source first, with scores; of many a :class:`LinkTable`, in their order.
        A matrix without rows or columns has none.

    Raises:
        UnknownNameError: no such method or option.
        InputError: not a matrix of numbers, or a value of an option that is out of its range.
        NonFiniteError: NaN or infinity; names the matrix and the cell.

    >>> links_from_matrix([[0.9, 0.1], [0.2, 0.8]])
    Links('0-0 1-1')
    """
    from align_eval.attribution.matrix import ScoreMatrix

    extractor = make_extractor(method)
    if isinstance(matrix, ScoreMatrix):
        words = matrix.words()
        given = [words[b].select().numpy()[0, 0] for b in range(len(words))]
        return LinkTable.from_links([_links(one, extractor) for one in given], ids=words.ids or None)
    depth = _depth(matrix)
    if depth < 2:
        raise InputError(
            f"{type(matrix).__name__} is not a score matrix" + (f": it has {depth} axes" if depth else ""),
            remedy=_SHAPES,
        )
    if depth == 2:
        return _links(_checked(matrix, ""), extractor)
    return LinkTable.from_links([_links(_checked(one, f" {k + 1}"), extractor) for k, one in enumerate(matrix)])


_SHAPES = "Give one (source words, target words), a list of them, or (pairs, source words, target words)"


def _depth(given: Any) -> int:
    """2 for one matrix, 3 for several; ``ndim`` where there is one."""
    if hasattr(given, "ndim"):
        return int(given.ndim)
    if not isinstance(given, Sequence) or isinstance(given, str):
        return 0
    return 1 + _depth(given[0]) if len(given) else 2


def _checked(given: Any, name: str) -> NDArray[np.floating]:
    """One matrix as an array of float32 or float64."""
    given = given.detach().cpu() if hasattr(given, "detach") else given
    given = given.float() if hasattr(given, "element_size") and given.element_size() < 4 else given
    try:
        found = np.asarray(given)
        if found.dtype.kind not in "fiub":
            raise ValueError
        found = found.astype(np.promote_types(found.dtype, np.float32), copy=False)
    except ValueError:
        raise InputError(
            f"the matrix{name} is not made of numbers in rows of one length", remedy="Give one row a source word"
        ) from None
    if found.shape == (0,):
        found = found.reshape(0, 0)
    if found.ndim != 2:
        raise InputError(f"the matrix{name} has {found.ndim} axes, {found.shape}", remedy=_SHAPES)
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        i, j = bad[0].tolist()
        raise NonFiniteError(
            f"the matrix{name} has {found[i, j]} for source word {i} and target word {j}, counted from 0",
            remedy="Give finite scores; 0 or a very small number for what cannot be linked",
        )
    return found


def _links(matrix: NDArray[np.floating], extractor: Extractor) -> Links:
    if not matrix.size:
        return Links((), ())
    scores = torch.from_numpy(np.ascontiguousarray(matrix))[None]
    found = extractor.masked(scores, torch.ones_like(scores, dtype=torch.bool))
    return Links(found.links[0].nonzero().numpy(), found.scores[0][found.links[0]].numpy())
