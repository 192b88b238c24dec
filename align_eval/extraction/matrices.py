"""Links from a user's own score matrices: arrays, tensors or lists, of one sentence pair or of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, NonFiniteError
from align_eval.links import Links
from align_eval.links.table import LinkTable

if TYPE_CHECKING:
    from align_eval.extraction.base import Extractor


def links_from_matrix(matrix: Any, method: str | Extractor = "argmax") -> Links | LinkTable:
    """The links that an extraction method finds in score matrices.

    Args:
        matrix: of one sentence pair ``(source words, target words)``, or of many: a list of them, of any sizes, an
            array ``(pairs, source words, target words)``, or a :class:`align_eval.signals.ScoreMatrix` of one head.
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
    from align_eval.extraction import make_extractor
    from align_eval.signals.matrix import ScoreMatrix

    extractor = make_extractor(method)
    if isinstance(matrix, ScoreMatrix):
        words = matrix.words()
        given = [words[b].select().numpy()[0, 0] for b in range(len(words))]
        return LinkTable.from_links([_links(one, extractor) for one in given], ids=words.ids or None)
    depth = _depth(matrix)
    if depth < 2:
        raise InputError(
            f"{type(matrix).__name__} is not a score matrix" + (f": it has {depth} axes" if depth else ""),
            remedy="Give one (source words, target words), a list of them, or (pairs, source words, target words)",
        )
    if depth == 2:
        return _links(_checked(matrix, ""), extractor)
    return LinkTable.from_links([_links(_checked(one, f" {k + 1}"), extractor) for k, one in enumerate(matrix)])


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
    if not found.size and found.ndim in (1, 2):
        found = found.reshape(found.shape[0] if found.ndim == 2 else 0, found.shape[1] if found.ndim == 2 else 0)
    if found.ndim != 2:
        raise InputError(
            f"the matrix{name} has {found.ndim} axes, {found.shape}",
            remedy="Give one (source words, target words), a list of them, or (pairs, source words, target words)",
        )
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        i, j = bad[0].tolist()
        raise NonFiniteError(
            f"the matrix{name} has {found[i, j]} for source word {i} and target word {j}, counted from 0",
            remedy="Give finite scores; 0 or a very small number for what cannot be linked",
        )
    return found


def _links(matrix: NDArray[np.floating], extractor: Extractor) -> Links:
    import torch

    if not matrix.size:
        return Links((), ())
    scores = torch.from_numpy(np.ascontiguousarray(matrix))[None]
    found = extractor.masked(scores, torch.ones_like(scores, dtype=torch.bool))
    return Links(found.links[0].nonzero().numpy(), found.scores[0][found.links[0]].numpy())
