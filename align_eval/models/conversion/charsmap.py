"""A map from characters to text as SentencePiece stores it, for ``tokenizers.normalizers.Precompiled``.

The form: u32 bytes of the trie; the trie, a double array in the manner of darts-clone (Yata 2013); the replacements,
each ended by a zero byte. Keys are the UTF-8 bytes of the characters; values are offsets of the replacements.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

_LEAF = 1 << 8
_VALUE = 1 << 31


def character_class(codes: Iterable[int]) -> str:
    """The inside of a regular expression's ``[...]`` that matches these code points, as ranges of ``\\x{...}``."""
    ranges: list[list[int]] = []
    for code in sorted(set(codes)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\x{{{a:x}}}" if a == b else f"\\x{{{a:x}}}-\\x{{{b:x}}}" for a, b in ranges)


def precompiled_charsmap(mapping: Mapping[int, Iterable[int]]) -> bytes:
    """Pack ``{code point: code points that replace it}``; code point 0 and surrogates cannot be keys."""
    replacements = bytearray()
    where: dict[bytes, int] = {}
    keys: dict[bytes, int] = {}
    for code, out in sorted(mapping.items()):
        text = "".join(map(chr, out)).encode("utf-8")
        if text not in where:
            where[text] = len(replacements)
            replacements += text + b"\0"
        keys[chr(code).encode("utf-8")] = where[text]
    units = _double_array(keys)
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + bytes(replacements)


def _double_array(keys: Mapping[bytes, int]) -> list[int]:
    """The units of a double array for ``keys``, none empty and none with a zero byte.

    A unit holds its label in bits 0-7, "a value follows" in bit 8, and in bits 10-31 the XOR of its own place with the
    base of its children: child ``c`` stands at ``base ^ c``, the value at ``base``.
    """
    trie: dict[int, object] = {}
    for key, value in keys.items():
        node = trie
        for byte in key:
            node = node.setdefault(byte, {})  # type: ignore[assignment]
        node[0] = value  # a value stands under the label 0
    units: dict[int, int] = {0: 0}
    bases: set[int] = set()  # two nodes must not share a base, or one would see the other's children
    first, last = 1, 0
    waiting: list[tuple[dict[int, object], int]] = [(trie, 0)]
    while waiting:
        node, place = waiting.pop()
        labels = sorted(node)
        # A node with many children takes a block of 256 of its own; the small ones fill what is left over.
        base = first if len(labels) <= 8 else (last | 0xFF) + 1
        while base in bases or any((base ^ label) in units for label in labels):
            base += 1
        bases.add(base)
        units[place] |= (place ^ base) << 10
        for label in labels:
            child = node[label]
            last = max(last, base ^ label)
            if isinstance(child, dict):
                units[base ^ label] = label
                waiting.append((child, base ^ label))
            else:
                units[place] |= _LEAF
                units[base] = _VALUE | int(child)  # type: ignore[call-overload]
        while first in bases or first in units:
            first += 1
    size = (last | 0xFF) + 1
    return [units.get(k, 0) for k in range(size)]
