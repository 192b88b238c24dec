"""Compiled twins of hot passes: reading and counting of links (``links.c``), and the blocks of encoders.

They are compiled when the package is installed, where there is a C compiler; without one everything gives the same
through numpy and torch, slower. ``python -m align_eval.native`` says which of both it is, and compiles what is missing.
``ALIGN_EVAL_NATIVE=0`` in the environment does without.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align_eval.native.compiling import library_path

if TYPE_CHECKING:
    import torch


# As in links.c: a library of another number was compiled from another version of the files.
_INTERFACE = 4

_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled functions; ``None`` where there are none, where they are of another version, or not wanted."""
    if os.environ.get("ALIGN_EVAL_NATIVE") == "0":
        return None
    try:
        found = ctypes.CDLL(str(library_path()))
        if found.align_eval_interface() != _INTERFACE:
            return None
        found.align_eval_gaps.argtypes, found.align_eval_gaps.restype = [ctypes.c_char_p, _SIZE], _SIZE
        found.align_eval_parse.argtypes = [ctypes.c_char_p, _SIZE, *[_POINTER] * 5]
        found.align_eval_parse.restype = ctypes.c_int32
        found.align_eval_counts.argtypes = [_SIZE, _SIZE, *[_POINTER] * 8]
        found.align_eval_counts.restype = ctypes.c_int32
    except (OSError, AttributeError):
        return None
    return found


class Parsed(NamedTuple):
    """Links as text has them: int32 ``sentence``, ``first``, ``second`` and boolean ``sure``, ``(links,)`` each.

    ``ascending``: the links of each sentence pair are sorted by (first, second) and unique; ``least``: the lowest of
    all indices, 2**31 - 1 without links.
    """

    sentence: NDArray[np.int32]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    sure: NDArray[np.bool_]
    sentences: int
    ascending: bool
    least: int


def parse(compiled: ctypes.CDLL, text: bytes) -> Parsed | None:
    """The links of whole lines of the Pharaoh family; ``None`` if anything in them is out of the ordinary."""
    room = compiled.align_eval_gaps(text, len(text))  # each link is followed by one
    numbers = np.empty((3, room), dtype=np.int32)
    sure, found = np.empty(room, dtype=bool), np.empty(4, dtype=np.int64)
    columns = [address(row, "int32", room) for row in numbers]
    if compiled.align_eval_parse(text, len(text), *columns, address(sure, "bool", room), address(found, "int64", 4)):
        return None
    links, sentences, ascending, least = found.tolist()
    sentence, first, second = numbers[:, :links]
    return Parsed(sentence, first, second, sure[:links], sentences, bool(ascending), least)


def count(
    compiled: ctypes.CDLL,
    begin: int,
    end: int,
    gold: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]],
    hypothesis: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]],
    out: NDArray[np.int32],
) -> bool:
    """Write |A|, |S|, |A∩S| and |A∩P| of the pairs ``begin`` to ``end`` into these rows of ``out`` ``(pairs, 4)``.

    ``gold`` and ``hypothesis`` are offsets ``(pairs + 1,)``, source and target ``(rows,)``, and the gold's sure marks,
    sorted by (sentence, source, target) and unique. Gives whether all of their indices are below 256.
    """
    columns: list[NDArray[Any]] = []  # keeps what is copied until the function has returned
    addresses = []
    for table in (gold, hypothesis):
        offsets, *rows = kept = [np.ascontiguousarray(column) for column in table]
        kinds = zip(rows, ("int32", "int32", "bool"), strict=False)
        addresses += [
            address(offsets, "int64", end + 1), *(address(column, kind, int(offsets[end])) for column, kind in kinds)
        ]  # fmt: skip
        columns += kept
    return bool(compiled.align_eval_counts(begin, end, *addresses, address(out, "int32", 4 * end)))


def floats(*shape: int) -> torch.Tensor:
    """Uninitialised float32 on the CPU, whatever torch's defaults are."""
    import torch

    return torch.empty(shape, dtype=torch.float32, device="cpu")


def address(buffer: np.ndarray[Any, Any] | torch.Tensor, kind: str, count: int) -> int:
    """Where a buffer begins, for a compiled function that reads or writes ``count`` numbers of ``kind`` from there.

    C knows neither number types nor sizes: another type, another device, gaps or too few numbers are a ``ModelError``.
    """
    if isinstance(buffer, np.ndarray):
        found, dense, size, device = str(buffer.dtype), buffer.flags.c_contiguous, buffer.size, "cpu"
        at = int(buffer.ctypes.data)
    else:
        found, dense, size = str(buffer.dtype).removeprefix("torch."), buffer.is_contiguous(), buffer.numel()
        device = buffer.device.type
        at = 0 if device == "meta" else int(buffer.data_ptr())
    wrong = (
        f"numbers of {found}" if found != kind
        else f"memory of the device {device}" if device != "cpu"
        else "numbers with gaps between them" if not dense
        else f"{size:,} numbers of {count:,}" if size < count
        else ""
    )  # fmt: skip
    if wrong:
        from align_eval.errors import ModelError

        raise ModelError(
            f"a compiled function takes {kind} on the CPU, and was given {wrong}",
            remedy="Load the model again, or set ALIGN_EVAL_NATIVE=0 to compute without compiled functions",
        )
    return at
