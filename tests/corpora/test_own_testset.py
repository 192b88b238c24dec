"""A test set of a user's own data: from lists and from files, one type and one checksum."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import align_eval as ae
from align_eval.errors import AlignEvalError, InputError, LengthMismatchError, LinkRangeError
from align_eval.links import GoldLinks, Links

PAIRS = [("das kleine Haus", "the little house"), ("ja", "yes , yes"), ("", "nothing")]
GOLD = ["0-0 1-1 2p2", "0-0 0-2", ""]


@pytest.mark.parametrize(
    "pairs",
    [
        PAIRS,
        [(tuple(s.split()), t.split()) for s, t in PAIRS],
        [ae.SentencePair(f"x{k}", tuple(s.split()), tuple(t.split())) for k, (s, t) in enumerate(PAIRS)],
        (pair for pair in PAIRS),
    ],
    ids=["texts", "words", "pairs", "generator"],
)
@pytest.mark.parametrize(
    "gold",
    [
        GOLD,
        [GoldLinks(Links([(0, 0), (1, 1)]), Links([(2, 2)])), Links([(0, 0), (0, 2)]), []],
        ae.LinkTable.from_links(
            [GoldLinks(Links([(0, 0), (1, 1)]), Links([(2, 2)])), Links([(0, 0), (0, 2)]), Links()]
        ),
    ],
    ids=["texts", "links", "table"],
)
def test_of_lists(pairs: Any, gold: Any) -> None:
    pairs = list(pairs) or PAIRS  # the generator is used up by the first
    own = ae.make_testset(pairs, gold, source_language="de", target_language="en")
    assert [p.source_text for p in own.pairs] == [s for s, _ in PAIRS]
    assert [str(p.gold) for p in own.pairs] == GOLD
    assert (own.name, len(own), own.gold.sure_links, own.gold.links, own.base) == ("own data", 3, 4, 5, 0)
    assert own.checksum == ae.make_testset(PAIRS, GOLD).checksum, "names and forms do not count, words and links do"
    assert own.checksum != ae.make_testset(PAIRS, GOLD[::-1][:1] + GOLD[1:]).checksum
    assert ae.score(own, own.gold, resamples=0).aer == 0
    back = own.reverse()
    assert (back.name, back.source_language, str(back.pairs[0].gold)) == ("own data:reverse", "en", "0-0 1-1 2p2")


def test_of_parallel_lists() -> None:
    sources, targets = zip(*PAIRS, strict=True)
    assert ae.make_testset(sources, GOLD, target=targets).checksum == ae.make_testset(PAIRS, GOLD).checksum
    with pytest.raises(LengthMismatchError, match="3 source but 2 target"):
        ae.make_testset(sources, target=targets[:2])


@pytest.mark.parametrize("form", ["parallel", "pipes", "tsv", "jsonl"])
def test_of_files(tmp_path: Path, form: str) -> None:
    pairs, gold = PAIRS[:2], GOLD[:2]
    text, other, links = tmp_path / "a", tmp_path / "b", tmp_path / "g.talp"
    links.write_text("1-1 2-2 3p3\n1-1 1-3\n")  # counted from 1
    options: dict[str, Any] = {"gold": links, "gold_base": 1}
    if form == "parallel":
        text.write_text("".join(f"{s}\n" for s, _ in pairs))
        other.write_text("".join(f"{t}\n" for _, t in pairs))
        options["target"] = other
    elif form == "pipes":
        text.write_text("".join(f"{s} ||| {t}\n" for s, t in pairs))
    elif form == "tsv":
        text.write_text("".join(f"{s}\t{t}\t{g}\n" for (s, t), g in zip(pairs, gold, strict=True)))
        options = {}
    else:
        rows = [{"source": s, "target": t, "links": [[0, 0]]} for s, t in pairs]  # what is given replaces these
        text.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = ae.make_testset(text, **options)
    assert own.checksum == ae.make_testset(pairs, gold).checksum
    assert (own.name, own.base) == ("a", int("gold_base" in options))


@pytest.mark.parametrize(
    ("pairs", "gold", "kind", "text"),
    [
        ([], None, InputError, "no sentence pair"),
        (["one text"], None, InputError, "sentence pair 1 is the text 'one text'"),
        ([("a", "b"), ("a", 3)], None, InputError, "a side of sentence pair 2 is of type int"),
        ([("a", ["b", None])], None, InputError, "a side of sentence pair 1 is of type list"),
        ([("a", "b")], ["0-0", "0-0"], LengthMismatchError, "gold links of 2 sentence pairs but 1"),
        ([("a", "b"), ("a", "b c")], ["0-0", "0-2"], LinkRangeError, "gold of sentence pair 2: link 0-2"),
        ([("a", "b")], [7], InputError, "sentence pair 1 of the gold is of type int"),
        ([("a", "b")], [[(0, 0, 0)]], InputError, "sentence pair 1 of the gold: .* is not a link"),
        ([("a", "b")], ["0:0"], InputError, "is not a link"),
        ([ae.SentencePair("1", ("a",), ("b",), GoldLinks(Links([(0, 4)]), Links()))], None, LinkRangeError, "0-4"),
    ],
)
def test_what_cannot_be(pairs: Any, gold: Any, kind: type[AlignEvalError], text: str) -> None:
    with pytest.raises(kind, match=text):
        ae.make_testset(pairs, gold)


def test_without_gold() -> None:
    own = ae.make_testset(PAIRS)
    assert len(own) == 3
    assert own.pairs[0].gold is None
    assert own.reverse().pairs[0].source_text == "the little house"
    with pytest.raises(InputError, match=r"own data has no gold links to score against. Give them: --gold FILE"):
        ae.score(own, [Links()] * 3)


WORD = st.text(min_size=1, max_size=3)


@given(
    st.lists(st.tuples(st.lists(WORD, max_size=3), st.lists(WORD, max_size=3)), min_size=1, max_size=4, unique_by=str)
)
def test_another_text_has_another_checksum(pairs: list[tuple[list[str], list[str]]]) -> None:
    sums = {ae.make_testset([pair]).checksum for pair in pairs}
    assert len(sums) == len(pairs), "whatever stands in the words: tabs, line feeds, quotation marks"


def test_a_test_set_travels_to_other_processes() -> None:
    own = ae.make_testset(PAIRS, GOLD)
    for one in (own, own.reverse(), ae.load_testset("mini-ende")):
        back = pickle.loads(pickle.dumps(one))
        assert [p.target for p in back.pairs] == [p.target for p in one.pairs]
        assert back.checksum == one.checksum
