"""Sub-words as a person reads them."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable
from typing import Any


def readable(tokenizer: Any, ids: Iterable[int], *, target: bool = False) -> tuple[str, ...]:
    """The sub-words of ``ids`` as strings, the start of a word marked as the tokenizer marks it.

    Byte-level sub-words (GPT-2, BART, RoBERTa) are turned back from their stand-in letters into text, with a space
    shown as ``▁``; bytes that are no whole letter are shown as U+FFFD.

    Args:
        tokenizer: of ``transformers``.
        ids: sub-word ids.
        target: the target side of a tokenizer that has two vocabularies (Marian).
    """
    if target and getattr(tokenizer, "separate_vocabs", False):
        names = _target_names(tokenizer)
        return tuple(str(names.get(int(number), tokenizer.unk_token)) for number in ids)
    if not target and hasattr(tokenizer, "get_src_vocab"):  # FSMT, whose own conversion is that of the target
        names = _source_names(tokenizer)
        return tuple(str(names.get(int(number), tokenizer.unk_token)) for number in ids)
    pieces: list[str] = [str(piece) for piece in tokenizer.convert_ids_to_tokens([int(number) for number in ids])]
    if not _byte_level(tokenizer):
        return tuple(pieces)
    special = set(tokenizer.all_special_tokens)
    return tuple(piece if piece in special else _text(piece) for piece in pieces)


_NAMES: weakref.WeakKeyDictionary[Any, dict[int, str]] = weakref.WeakKeyDictionary()


def _target_names(tokenizer: Any) -> dict[int, str]:
    """The target vocabulary by number, turned once a tokenizer (a vocabulary of 58,000 takes 16 ms)."""
    names = _NAMES.get(tokenizer)
    if names is None or len(names) != len(tokenizer.target_encoder):
        names = _NAMES[tokenizer] = {number: piece for piece, number in tokenizer.target_encoder.items()}
    return names


_SOURCES: weakref.WeakKeyDictionary[Any, dict[int, str]] = weakref.WeakKeyDictionary()


def _source_names(tokenizer: Any) -> dict[int, str]:
    names = _SOURCES.get(tokenizer)
    if names is None:
        names = _SOURCES[tokenizer] = {number: piece for piece, number in tokenizer.get_src_vocab().items()}
    return names


def _byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = getattr(backend, "decoder", None)
    return "ByteLevel" in (type(decoder).__name__, *_parts(decoder))


def _parts(decoder: Any) -> list[str]:
    if type(decoder).__name__ != "Sequence":
        return []
    import json

    return [part["type"] for part in json.loads(decoder.__getstate__()).get("decoders", ())]


def _text(piece: str) -> str:
    table = _bytes_of_letters()
    if any(letter not in table for letter in piece):
        return piece
    text = bytes(table[letter] for letter in piece).decode("utf-8", errors="replace")
    return text.replace(" ", "▁")


@functools.cache
def _bytes_of_letters() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for letters from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in plain}
    rest = [byte for byte in range(256) if byte not in set(plain)]
    return table | {chr(0x100 + k): byte for k, byte in enumerate(rest)}
