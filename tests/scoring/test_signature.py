"""Signatures: order, reading back, unknown keys."""

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


def test_a_signature_reads_back() -> None:
    signature = Signature.parse(LONG)
    assert str(signature) == LONG == signature
    assert signature != Signature.parse(LONG).extend(layer=8)
    assert hash(signature) == hash(Signature.parse(LONG))


def test_extend_sets_and_drops() -> None:
    signature = Signature(set="x", hyp_order="ts", bs=10)
    assert str(signature.extend(hyp_order=None, bs=0, seed=1)) == "set:x|bs:0|seed:1"
    assert signature["set"] == "x"
    assert len(signature) == 3


value = st.one_of(st.integers(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))


@given(st.dictionaries(st.sampled_from(list(SIGNATURE_KEYS)), value, min_size=1))
def test_any_value_reads_back(values: dict[str, int | str]) -> None:
    signature = Signature(values)
    assert Signature.parse(str(signature)) == signature
    assert not any(c.isspace() for c in str(signature))


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
        Signature(hyp_base=1, **{"hyp-base": 0})
    with pytest.raises(InputError, match="no value"):
        Signature(set="")
    assert Signature(set="x") != "not a signature"
