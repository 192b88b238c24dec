"""Arrays packed for a page: quantised, compressed, base64; unpacked again by ``assets/unpack.js``.

A packed block is, before compression: 4 bytes with the length n of its header (little-endian), n bytes of header (JSON,
UTF-8), then the arrays one after another in the order of the header's list ``arrays`` (name, dtype, shape). dtypes:
``u1``; ``u2`` as two planes, all high bytes and then all low bytes, which compresses better than pairs of bytes;
``f4`` little-endian. It is compressed as a zlib stream; a browser unpacks it with ``DecompressionStream("deflate")``.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, NonFiniteError

BITS = (8, 16)


def quantise(values: NDArray[np.floating[Any]], bits: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Maps as integers: each map on an even scale from the lesser of its minimum and 0 to its maximum.

    Args:
        values: ``(..., Q, K)``.
        bits: 8 or 16.

    Returns:
        integers ``(..., Q, K)`` and limits ``(..., 2)``: the value of 0 and of the highest integer. A value comes back
        as ``low + integer / (2 ** bits - 1) * (high - low)``, off by at most :func:`quantisation_error`.

    Raises:
        InputError: another number of bits.
        NonFiniteError: NaN or infinity.
    """
    if bits not in BITS:
        raise InputError(f"{bits} bits a value", remedy="Choose 8 or 16")
    if not np.isfinite(values).all():
        raise NonFiniteError("a map has NaN or infinite values", remedy="Load the model with --dtype float32")
    top = 2**bits - 1
    flat = values.reshape(*values.shape[:-2], -1)
    if flat.shape[-1] == 0:
        limits = np.zeros((*values.shape[:-2], 2), dtype=np.float32)
    else:
        # Limits are kept as float32: widen them so that no value lies outside.
        low = np.minimum(flat.min(axis=-1), 0).astype(np.float32)
        high = flat.max(axis=-1).astype(np.float32)
        low = np.where(low > flat.min(axis=-1), np.nextafter(low, np.float32(-np.inf)), low)
        high = np.where(high < flat.max(axis=-1), np.nextafter(high, np.float32(np.inf)), high)
        limits = np.stack([low, high], axis=-1)
    wide = limits.astype(np.float64)
    span = wide[..., 1] - wide[..., 0]
    scaled = (values - wide[..., 0, None, None]) * (top / np.where(span > 0, span, 1))[..., None, None]
    whole = np.clip(np.rint(scaled), 0, top)
    return whole.astype(np.uint8 if bits == 8 else np.uint16), limits


def quantisation_error(limits: NDArray[np.float32], bits: int) -> float:
    """The most that a value of maps with these ``limits`` ``(..., 2)`` can be off, in the unit of the maps."""
    if not limits.size:
        return 0.0
    span = (limits[..., 1].astype(np.float64) - limits[..., 0]).max()
    return float(span) / (2**bits - 1) / 2 * (1 + 1e-6)


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], level: int = 6) -> str:
    """Pack a header and named arrays of dtype uint8, uint16 or float32 as one base64 text; see the module.

    Raises:
        InputError: an array of another dtype.
    """
    listed, parts = [], []
    for name, array in arrays.items():
        if array.dtype == np.uint8:
            kind, data = "u1", np.ascontiguousarray(array).tobytes()
        elif array.dtype == np.uint16:
            kind = "u2"
            data = (array >> 8).astype(np.uint8).tobytes() + (array & 255).astype(np.uint8).tobytes()
        elif array.dtype == np.float32:
            kind, data = "f4", array.astype("<f4").tobytes()
        else:
            raise InputError(f"array {name} of {array.dtype} cannot be packed")
        listed.append({"name": name, "dtype": kind, "shape": list(array.shape)})
        parts.append(data)
    head = json.dumps({**header, "arrays": listed}, ensure_ascii=False, separators=(",", ":")).encode()
    block = b"".join([len(head).to_bytes(4, "little"), head, *parts])
    return base64.b64encode(zlib.compress(block, level)).decode("ascii")


def unpack(text: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the arrays of :func:`pack`; what ``assets/unpack.js`` does."""
    block = zlib.decompress(base64.b64decode(text))
    start = 4 + int.from_bytes(block[:4], "little")
    header = json.loads(block[4:start])
    arrays: dict[str, NDArray[Any]] = {}
    for item in header.pop("arrays"):
        shape = tuple(item["shape"])
        count = int(np.prod(shape))
        if item["dtype"] == "u2":
            high, low = (np.frombuffer(block, np.uint8, count, start + k * count).astype(np.uint16) for k in (0, 1))
            arrays[item["name"]] = ((high << 8) | low).reshape(shape)
            start += 2 * count
        else:
            dtype = np.dtype(np.uint8 if item["dtype"] == "u1" else "<f4")
            arrays[item["name"]] = np.frombuffer(block, dtype, count, start).reshape(shape)
            start += count * dtype.itemsize
    return header, arrays
