"""Signatures: order, short form, reading back, unknown keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_eval.errors import FormatError, InputError, UnknownNameError
from align_eval.scoring import SIGNATURE_KEYS, Signature

LONG = (
    "set:deen-rwth|sha256:1a2b3c4d|sentences:508|base:1|nulls:drop|model:offline:e5-small|layer:7|method:argmax|"
    "subword:any|sym:none|bs:1000|seed:12345|version:0.1.0"
)


def test_order_is_always_the_same() -> None:
    parts = dict(part.split(":", 1) for part in LONG.split("|"))
    assert str(Signature(dict(reversed(parts.items())))) == LONG
    assert str(Signature(version="0.1.0", hyp_base=0, set="x")) == "set:x|hyp-base:0|version:0.1.0"


def test_short_form_reads_back() -> None:
    signature = Signature.parse(LONG)
    assert signature.short().startswith("t:deen-rwth|sha:1a2b3c4d|n:508|b:1|nl:drop|m:offline:e5-small|l:7|")
    assert Signature.parse(signature.short()) == signature == LONG
    assert signature != Signature.parse(LONG).extend(layer=8)
    assert hash(signature) == hash(Signature.parse(LONG))


def test_extend_sets_and_drops() -> None:
    signature = Signature(set="x", hyp_order="ts", bs=10)
    assert str(signature.extend(hyp_order=None, bs=0, seed=1)) == "set:x|bs:0|seed:1"
    assert signature["t"] == signature["set"] == "x"
    assert len(signature) == 3


def test_names_are_unique() -> None:
    names = [key.name for key in SIGNATURE_KEYS]
    shorts = [key.short for key in SIGNATURE_KEYS]
    assert len(set(names)) == len(set(shorts)) == len(SIGNATURE_KEYS)
    clashes = {key.short for key in SIGNATURE_KEYS if key.short in names and key.short != key.name}
    assert not clashes


value = st.one_of(st.integers(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))


@given(st.dictionaries(st.sampled_from([key.name for key in SIGNATURE_KEYS]), value, min_size=1))
def test_any_value_reads_back(values: dict[str, int | str]) -> None:
    signature = Signature(values)
    for text in (str(signature), signature.short()):
        assert Signature.parse(text) == signature
        assert not any(c.isspace() for c in text)


def test_errors() -> None:
    with pytest.raises(UnknownNameError, match=r"key of a signature 'layre'. Did you mean 'layer'"):
        Signature(layre=3)
    with pytest.raises(FormatError, match="is not key:value"):
        Signature.parse("set:x|508")
    with pytest.raises(FormatError):
        Signature.parse("")
    with pytest.raises(InputError, match="given twice"):
        Signature.parse("set:x|set:y")
    with pytest.raises(InputError, match="given twice"):
        Signature.parse("set:x|t:y")
    with pytest.raises(InputError, match="no value"):
        Signature(set="")
    assert Signature(set="x") != "not a signature"
