"""Metadata and tensors of a GGUF file, by the package ``gguf``, every quantised form that it knows expanded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import FormatError, ModelError

Float32Array = NDArray[np.float32]
T = TypeVar("T")
# Kinds of tokens: special ones, those that a text is split at first, single bytes.
CONTROL, USER_DEFINED, BYTE = 3, 4, 6


@dataclass(frozen=True)
class Gguf:
    """A file: its metadata, and its tensors as the package ``gguf`` has them, mapped from the file."""

    metadata: Mapping[str, Any] = field(repr=False)
    tensors: Mapping[str, Any] = field(repr=False)

    def value(self, key: str, kind: type[T]) -> T:
        """The metadata value ``key``, which must be of the Python type ``kind``."""
        if key not in self.metadata:
            raise FormatError(f"the GGUF file has no metadata {key!r}")
        value = self.metadata[key]
        if type(value) is not kind:
            raise FormatError(f"metadata {key!r} is of type {type(value).__name__}, not {kind.__name__}")
        return value

    def tensor(self, name: str, *shape: int) -> Float32Array:
        """The tensor ``name`` as float32 of ``shape`` (rows first), quantised blocks expanded."""
        from gguf import dequantize

        entry = self.tensors.get(name)
        if entry is None:
            raise FormatError(f"the GGUF file has no tensor {name!r}")
        found = tuple(reversed(entry.shape.tolist()))
        if found != shape:
            raise FormatError(f"tensor {name!r} has the shape {found}, not {shape}")
        with _damage(f"tensor {name!r} cannot be expanded"):
            return np.array(dequantize(entry.data, entry.tensor_type), dtype=np.float32).reshape(shape)

    def size(self, key: str) -> int:
        """The whole number that the architecture's metadata has for ``key``, such as ``block_count``."""
        return self.value(f"{self.value('general.architecture', str)}.{key}", int)

    def decimal(self, key: str) -> float:
        """As :meth:`size` for a float32, as its shortest decimal: 1e-5, not 9.999999747378752e-06."""
        return float(str(np.float32(self.value(f"{self.value('general.architecture', str)}.{key}", float))))

    def tokens_of(self, *kinds: int) -> list[int]:
        """The ids of tokens of these kinds."""
        return [k for k, kind in enumerate(self.value("tokenizer.ggml.token_type", list)) if kind in kinds]


def read(path: Path) -> Gguf:
    """Read metadata and tensor directory of a GGUF file.

    Raises:
        FormatError: not such a file, another version, or one that is damaged or ends early.
        ModelError: the package ``gguf`` is not installed.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise ModelError(
            "GGUF files are read by the package gguf, which is not installed",
            remedy="Install it: pip install 'align-eval[offline]'",
        ) from error

    class Reader(GGUFReader):
        """Refuses what reaches past the end of the file, where the package would read nothing, count by count."""

        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            if int(offset) + np.dtype(dtype).itemsize * int(count) > len(self.data):
                raise ValueError(f"it ends before {int(count):,} values at byte {int(offset):,}")
            return super()._get(offset, dtype, count, override_order)

    with _damage("the file is no GGUF file of a version that is read, or is damaged"):
        reader = Reader(path)
        metadata = {name: part.contents() for name, part in reader.fields.items() if not name.startswith("GGUF.")}
        return Gguf(metadata, {tensor.name: tensor for tensor in reader.tensors})


@contextlib.contextmanager
def _damage(what: str) -> Iterator[None]:
    """Turn what ``gguf`` and numpy raise for bytes that are not what they should be into a :class:`FormatError`."""
    try:
        yield
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, RuntimeError) as error:
        raise FormatError(f"{what}: {error}") from error
