"""Reading GGUF files (llama.cpp; versions 2 and 3, little-endian) with numpy alone.

======================  ================================================================================================
header                  ``GGUF``, u32 version, u64 tensors, u64 metadata entries
metadata entry          string key, u32 type, value. A string is u64 bytes, UTF-8; an array u32 type, u64 count, values
tensor entry            string name, u32 dimensions, u64 each (the fastest first), u32 kind, u64 offset in the data part
data part               starts at the next multiple of ``general.alignment`` (32 if that is not given)
======================  ================================================================================================

The kinds known here are those of the models that the project converts; a block holds 32 neighbours of a row:

* ``F32``: float32.
* ``Q4_1``, 20 bytes: fp16 ``d``, fp16 ``m``, 16 bytes; byte ``k`` holds number ``k`` in its low and number ``k + 16``
  in its high nibble; the value is ``d * nibble + m``. The product is exact in float32, the sum is rounded to it.
* ``Q8_0``, 34 bytes: fp16 ``d``, 32 signed bytes; the value is ``d * byte``, exact in float32.

Source: the GGUF specification in the repository of ggml (``docs/gguf.md``), and ``ggml-common.h`` for the blocks.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import FormatError

MAGIC = b"GGUF"
BLOCK = 32
F32, Q4_1, Q8_0 = 0, 3, 8
Q4_1_BLOCK = np.dtype([("scale", "<f2"), ("minimum", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])
Q8_0_BLOCK = np.dtype([("scale", "<f2"), ("values", "i1", (BLOCK,))])

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

Float32Array = NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True)
class Tensor:
    """A tensor's kind, its shape (rows first, as numpy has it) and its byte offset in the file."""

    kind: int
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Gguf:
    """A parsed file: metadata and tensor directory. Weights stay in ``data`` until :meth:`tensor` expands one."""

    data: bytes = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)
    tensors: Mapping[str, Tensor] = field(repr=False)

    def value(self, key: str, kind: type[T]) -> T:
        """The metadata value ``key``.

        Raises:
            FormatError: no such key, or its value is not of the Python type ``kind``.
        """
        if key not in self.metadata:
            raise FormatError(f"the GGUF file has no metadata {key!r}")
        value = self.metadata[key]
        if type(value) is not kind:
            raise FormatError(f"metadata {key!r} is of type {type(value).__name__}, not {kind.__name__}")
        return value

    def tensor(self, name: str, *shape: int) -> Float32Array:
        """The tensor ``name`` as float32 of ``shape``, quantised blocks expanded.

        Raises:
            FormatError: no such tensor, one of another shape or of an unknown kind, or the file ends within it.
        """
        entry = self.tensors.get(name)
        if entry is None:
            raise FormatError(f"the GGUF file has no tensor {name!r}")
        if entry.shape != shape:
            raise FormatError(f"tensor {name!r} has the shape {entry.shape}, not {shape}")
        count = math.prod(shape)
        kinds = {F32: np.dtype("<f4"), Q4_1: Q4_1_BLOCK, Q8_0: Q8_0_BLOCK}
        if entry.kind not in kinds:
            raise FormatError(f"tensor {name!r} has the kind {entry.kind}; known are 0 (F32), 3 (Q4_1) and 8 (Q8_0)")
        if entry.kind != F32 and shape[-1] % BLOCK:
            raise FormatError(f"tensor {name!r} has rows of {shape[-1]} numbers, which are not whole blocks of {BLOCK}")
        items = count if entry.kind == F32 else count // BLOCK
        if entry.offset + items * kinds[entry.kind].itemsize > len(self.data):
            raise FormatError(f"the GGUF file ends within tensor {name!r}")
        raw = np.frombuffer(self.data, kinds[entry.kind], items, entry.offset)
        if entry.kind == F32:
            return raw.reshape(shape).astype(np.float32)
        return (dequantise_q4_1(raw) if entry.kind == Q4_1 else dequantise_q8_0(raw)).reshape(shape)


def dequantise_q4_1(blocks: NDArray[Any]) -> Float32Array:
    """Expand Q4_1 blocks ``(n,)`` of type ``Q4_1_BLOCK`` to float32 ``(n, 32)``."""
    out = np.empty((len(blocks), BLOCK), dtype=np.float32)
    half = BLOCK // 2
    out[:, :half] = blocks["nibbles"] & 0x0F
    out[:, half:] = blocks["nibbles"] >> 4
    out *= blocks["scale"].astype(np.float32)[:, None]
    out += blocks["minimum"].astype(np.float32)[:, None]
    return out


def dequantise_q8_0(blocks: NDArray[Any]) -> Float32Array:
    """Expand Q8_0 blocks ``(n,)`` of type ``Q8_0_BLOCK`` to float32 ``(n, 32)``; exact."""
    out = blocks["values"].astype(np.float32)
    out *= blocks["scale"].astype(np.float32)[:, None]
    return out


def parse(data: bytes) -> Gguf:
    """Read metadata and tensor directory of a GGUF file.

    Raises:
        FormatError: not such a file, another version or byte order, or one that ends early.
    """
    if data[:4] != MAGIC:
        raise FormatError(f"not a GGUF file: it starts with {data[:4]!r}, not {MAGIC!r}")
    try:
        return _parse(data)
    except (struct.error, UnicodeDecodeError) as error:
        raise FormatError(f"the GGUF file is damaged: {error}") from error


def _parse(data: bytes) -> Gguf:
    reader = _Reader(data, len(MAGIC))
    version = reader.scalar("I")
    if version not in (2, 3):
        raise FormatError(f"GGUF version {version}: only 2 and 3, little-endian, are known")
    tensor_count, entry_count = reader.scalar("Q"), reader.scalar("Q")
    metadata: dict[str, Any] = {}
    for _ in range(entry_count):
        key = reader.string()
        metadata[key] = reader.value(reader.scalar("I"))
    directory = {}
    for _ in range(tensor_count):
        name = reader.string()
        dimensions = reader.scalars("Q", reader.scalar("I"))
        kind, offset = reader.scalar("I"), reader.scalar("Q")
        directory[name] = (kind, tuple(reversed(dimensions)), offset)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise FormatError(f"general.alignment is {alignment!r}, not a positive number")
    start = -(-reader.at // alignment) * alignment
    return Gguf(data, metadata, {name: Tensor(k, s, start + o) for name, (k, s, o) in directory.items()})


class _Reader:
    """Values read one after the other from ``data``, starting at byte ``at``."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def scalars(self, form: str, count: int) -> tuple[Any, ...]:
        """``count`` values of a ``struct`` letter."""
        if count > len(self.data) - self.at:  # a damaged count; also keeps struct from allocating for it
            raise FormatError(f"the GGUF file is damaged: {count} values at byte {self.at} reach past its end")
        values = struct.unpack_from(f"<{count}{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{count}{form}")
        return values

    def scalar(self, form: str) -> Any:
        return self.scalars(form, 1)[0]

    def string(self) -> str:
        size = self.scalar("Q")
        if size > len(self.data) - self.at:
            raise FormatError(
                f"the GGUF file is damaged: a text of {size} bytes at byte {self.at} reaches past its end"
            )
        self.at += size
        return self.data[self.at - size : self.at].decode("utf-8")

    def value(self, kind: int) -> Any:
        """A metadata value; arrays become lists."""
        if kind == _STRING:
            return self.string()
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind != _ARRAY:
            raise FormatError(f"the GGUF file is damaged: unknown metadata type {kind} before byte {self.at}")
        of, count = self.scalar("I"), self.scalar("Q")
        if of in _SCALARS:
            return [*self.scalars(_SCALARS[of], count)]
        if of != _STRING:
            raise FormatError(f"the GGUF file has an array of type {of}, which is not read")
        return [self.string() for _ in range(count)]
