"""Tables matched by the names of their sentence pairs: nothing is closed up by rank, nothing is dropped unsaid."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.corpora.matching import Matching, match_tables, same_pairs
from align_eval.errors import InputError, LengthMismatchError
from align_eval.links import Links
from align_eval.links.table import LinkTable, joined, part_of


def table(names: list[str] | int) -> LinkTable:
    """A table of these sentence pairs, or of so many without names; the link of a pair tells its name or number."""
    labels = [str(k + 1) for k in range(names)] if isinstance(names, int) else names
    marks = [int(name) if name.isdigit() else sum(map(ord, name)) for name in labels]
    return LinkTable.from_links([Links([(mark, mark)]) for mark in marks], None if isinstance(names, int) else names)


def marks(found: LinkTable) -> list[int | None]:
    """The mark of each sentence pair, ``None`` for one without links."""
    return [next((i for i, _ in found[k]), None) for k in range(len(found))]


def match(one: LinkTable, other: LinkTable, **options: object) -> list[LinkTable]:
    return match_tables([one, other], Matching(("one", "other"), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["1", "2", "3"], ["1", "2", "3"], [1, 2, 3]),
        (["1", "2", "3"], ["3", "1", "2"], [1, 2, 3]),
        (["b", "a"], ["a", "b"], [98, 97]),
        (["0026", "0030"], ["30", "26"], [26, 30]),
        (3, ["1", "2", "3"], [1, 2, 3]),
        (3, ["3", "1", "2"], [1, 2, 3]),  # names 1 to 3 are the numbers of the lines
        (["2", "3", "1"], 3, [2, 3, 1]),
        (2, 2, [1, 2]),
    ],
)
def test_names_go_before_ranks(one: list[str] | int, other: list[str] | int, expected: list[int]) -> None:
    for found in match(table(one), table(other)):
        assert marks(found) == expected


def test_positions_stand_where_names_are_no_numbers() -> None:
    assert marks(match(table(2), table(["x", "y"]))[1]) == [120, 121]
    zero, one = table(["0", "1", "2"]), table(["1", "2", "3"])  # the same pairs, counted from 0 and from 1
    assert marks(match(one, zero)[1]) == [0, 1, 2]
    assert marks(match(table(3), table(["26", "27", "28"]))[1]) == [26, 27, 28]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (["1", "3", "4"], ["1", "2", "4"], "'3' is in one alone and '2' is in other alone"),
        (["1", "2"], ["1", "2", "3"], "'3' is in other alone"),
        (["a", "b"], ["c", "d"], "no name is in both"),
        ([str(k) for k in range(1, 12)], ["1"], "'2', '3', '4', '5', '6' and 5 more are in one alone"),
        (4, ["1", "2", "4"], "'3' is in one alone"),
        (3, 4, "4 sentence pairs, but 3 in one"),
        (3, ["x", "y"], "2 sentence pairs, but 3 in one|3 sentence pairs, but 2 in other"),
    ],
)
def test_names_on_one_side_alone_are_listed(one: list[str] | int, other: list[str] | int, said: str) -> None:
    with pytest.raises(LengthMismatchError, match=said):
        match(table(one), table(other))


def test_a_missing_pair_is_empty_if_asked_for() -> None:
    notes: list[str] = []
    one, other = match(table(["1", "3", "4"]), table(["1", "2", "4"]), missing="empty", notes=notes)
    assert (marks(one), marks(other)) == ([1, None, 3, 4], [1, 2, None, 4])
    assert one.ids == other.ids == ["1", "2", "3", "4"]
    assert notes == [
        "one does not name '2': it is taken as a pair without links",
        "other does not name '3': it is taken as a pair without links",
    ]
    with pytest.raises(LengthMismatchError, match="no name is in both"):
        match(table(["a"]), table(["b"]), missing="empty")
    with pytest.raises(LengthMismatchError, match="--missing-sentences empty"):
        match(table(["a", "c"]), table(["a", "b"]))
    with pytest.raises(InputError, match="'a' is there twice"):
        match(table(["a", "b"]), table(["a", "a"]))
    with pytest.raises(InputError, match="Known: raise, empty"):
        match(table(1), table(1), missing="skip")


def test_numbers_with_gaps_beside_lines_without_names_are_asked_about() -> None:
    """As many lines as numbers proves nothing, where the numbers may leave sentence pairs out."""
    for names in (["1", "3", "4"], ["26", "28", "30"], ["2", "9", "11"]):
        with pytest.raises(LengthMismatchError, match="nothing says which line is which pair"):
            match(table(names), table(3), skips=(True, True))
        assert len(match(table(names), table(3), skips=(False, True))[1]) == 3
        assert len(match(table(names), table(3), skips=(True, True), in_order=True)[1]) == 3


def test_the_first_pairs_alone() -> None:
    one, other = match(table(["5", "7"]), table(["7", "6", "5"]), first_only=True)
    assert (marks(one), marks(other)) == ([5, 7], [5, 7])
    assert marks(match(table(2), table(["1", "2", "3"]), first_only=True)[1]) == [1, 2]
    assert marks(match(table(2), table(["x", "y", "z"]), first_only=True)[1]) == [120, 121]


def test_names_in_another_order_than_sentences_without_names() -> None:
    with pytest.raises(LengthMismatchError, match="in another order"):
        match(table(["a", "b"]), table(["b", "a"]), in_order=True)
    with pytest.raises(LengthMismatchError, match="other sentence pairs than one"):
        match(table(["a", "b"]), table(["c", "d"]), in_order=True)
    assert len(match(table(["0001", "0003"]), table(["1", "2"]), in_order=True)[1]) == 2  # taken in order, and told


@settings(max_examples=30)
@given(st.sets(st.integers(1, 40), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_a_shuffled_file_is_the_same(numbers: set[int], chance: random.Random) -> None:
    names = [str(number) for number in sorted(numbers)]
    shuffled = list(names)
    chance.shuffle(shuffled)
    one, other = match(table(names), table(shuffled))
    assert one == other
    assert marks(other) == sorted(numbers)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.data())
def test_parts_joined_are_the_whole(numbers: list[int], data: st.DataObject) -> None:
    whole = LinkTable.from_links([Links([(k, k)] * (k > 4)) for k in numbers], [f"n{k}" for k in range(len(numbers))])
    at = data.draw(st.integers(0, len(numbers)))
    parts = [part_of(whole, 0, at), part_of(whole, at, len(numbers))]
    assert joined(list(parts)) == whole
    assert joined(list(parts)).ids == whole.ids
    assert same_pairs([whole, joined(list(parts))])


@pytest.mark.parametrize("names", [["c", "a"], ["s1", "s2"], ["1", "b"]])
def test_lines_without_names_beside_names_are_told(names: list[str]) -> None:
    """Nothing but the order of the lines says which pair is which."""
    named = LinkTable.from_links([Links("0-0"), Links("1-1")], names)
    for tables, files in (([named, _plain()], ["n.jsonl", "p.talp"]), ([_plain(), named], ["p.talp", "n.jsonl"])):
        how = Matching(files)
        match_tables(tables, how)
        assert how.notes == [
            "p.talp names no sentence pairs: its lines are taken for the sentence pairs of n.jsonl, in the order of "
            "that file"
        ]
    numbered = LinkTable.from_links([Links("0-0"), Links("1-1")], ["2", "1"])
    how = Matching(["n.jsonl", "p.talp"])
    match_tables([numbered, _plain()], how)  # numbers say it
    assert how.notes == []


def _plain() -> LinkTable:
    return LinkTable.from_links([Links("0-0"), Links("1-1")])
