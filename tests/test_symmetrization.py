"""Symmetrisation: by hand, against plain versions of both published algorithms, against published files."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.corpora.linkio import read_links
from align_eval.errors import InputError, LengthMismatchError, UnknownNameError
from align_eval.links import Links
from align_eval.links.symmetrization import METHODS, RULES, symmetrize, symmetrize_table
from align_eval.links.table import LinkTable

module = importlib.import_module("align_eval.links.symmetrization")

Pairs = set[tuple[int, int]]
pairs = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14)
methods = st.sampled_from(METHODS)
rules = st.sampled_from(RULES)


def plain(forward: Pairs, reverse: Pairs, method: str, rule: str) -> Pairs:
    """One sentence pair, with sets and loops."""
    links, union = forward & reverse, forward | reverse
    if method == "union":
        return union
    if method == "intersection":
        return links
    steps = module._FOUR if method == "grow" else module._EIGHT

    def free(i: int, j: int, both: bool) -> bool:
        source, target = i not in {a for a, _ in links}, j not in {b for _, b in links}
        return (source and target) if both else (source or target)

    size = len(union)
    while True:
        before = len(links)
        if rule == "both":
            for i, j in sorted(union):
                for a, b in steps if (i, j) in links else ():
                    if (i + a, j + b) in union - links and free(i + a, j + b, True):
                        links.add((i + a, j + b))
        else:
            for i, j in sorted(union - links):
                if free(i, j, False) and any((i + a, j + b) in links for a, b in steps):
                    links.add((i, j))
        if len(links) in (before, size):
            break
    if method.startswith("grow-diag-final"):
        for direction in (forward, reverse):
            for i, j in sorted(direction - links):
                if free(i, j, rule == "both" or method.endswith("-and")):
                    links.add((i, j))
    return links


# Rows are source words, columns target words: F forward only, R reverse only, B both.
DRAWING = """
B . . . .
F R . . .
. . . . R
. . F . R
"""
FORWARD: Pairs = set()
REVERSE: Pairs = set()
for _i, _row in enumerate(DRAWING.strip().split("\n")):
    for _j, _cell in enumerate(_row.split(" ")):
        if _cell in "BF":
            FORWARD.add((_i, _j))
        if _cell in "BR":
            REVERSE.add((_i, _j))

# Growing from 0-0: 1-0 is below it (its target word is taken), 1-1 on its diagonal (both words are free).
# Final: 3-2 (forward), then 2-4 (reverse); then 3-4 has no free word left.
BY_HAND = {
    ("intersection", "both"): "0-0",
    ("intersection", "either"): "0-0",
    ("grow", "both"): "0-0",
    ("grow", "either"): "0-0 1-0 1-1",  # 1-0 is let in by its source word, then 1-1 is beside it
    ("grow-diag", "both"): "0-0 1-1",
    ("grow-diag", "either"): "0-0 1-0 1-1",
    ("grow-diag-final-and", "both"): "0-0 1-1 2-4 3-2",
    ("grow-diag-final-and", "either"): "0-0 1-0 1-1 2-4 3-2",
    ("grow-diag-final", "both"): "0-0 1-1 2-4 3-2",
    ("grow-diag-final", "either"): "0-0 1-0 1-1 2-4 3-2",
    ("union", "both"): "0-0 1-0 1-1 2-4 3-2 3-4",
    ("union", "either"): "0-0 1-0 1-1 2-4 3-2 3-4",
}


@pytest.mark.parametrize(("method", "rule"), list(BY_HAND))
def test_by_hand(method: str, rule: str) -> None:
    assert str(symmetrize(Links(FORWARD), Links(REVERSE), method, rule)) == BY_HAND[method, rule]


def test_final_and_final_and_differ_under_either() -> None:
    forward, reverse = Links([(0, 0), (2, 0)]), Links([(0, 0)])
    assert str(symmetrize(forward, reverse, "grow-diag-final", "either")) == "0-0 2-0"
    assert str(symmetrize(forward, reverse, "grow-diag-final-and", "either")) == "0-0"
    assert str(symmetrize(forward, reverse, "grow-diag-final", "both")) == "0-0"


def test_a_link_that_was_added_can_be_grown_from() -> None:
    forward, reverse = Links([(0, 0), (1, 1), (2, 2), (3, 3)]), Links([(0, 0)])
    assert symmetrize(forward, reverse, "grow-diag", "both") == forward
    assert symmetrize(forward.reverse(), reverse, "grow", "both") == reverse


@settings(max_examples=150)
@given(pairs, pairs, methods, rules)
def test_as_with_sets_and_loops(forward: Pairs, reverse: Pairs, method: str, rule: str) -> None:
    assert set(symmetrize(Links(forward), Links(reverse), method, rule)) == plain(forward, reverse, method, rule)


@settings(max_examples=60)
@given(st.lists(st.tuples(pairs, pairs), max_size=7), methods, rules, st.integers(1, 8))
def test_a_table_is_its_sentences(corpus: list[tuple[Pairs, Pairs]], method: str, rule: str, block: int) -> None:
    forward, reverse = (LinkTable.from_links([Links(both[k]) for both in corpus]) for k in (0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        together = symmetrize_table(forward, reverse, method, rule)
    assert [set(links) for links in together] == [plain(f, r, method, rule) for f, r in corpus]


@settings(max_examples=50)
@given(pairs, pairs, rules)
def test_order_of_the_methods(forward: Pairs, reverse: Pairs, rule: str) -> None:
    got = {method: symmetrize(Links(forward), Links(reverse), method, rule) for method in METHODS}
    for links in got.values():
        assert got["intersection"] <= links <= got["union"]
    assert got["grow-diag"] <= got["grow-diag-final"]
    assert got["grow-diag"] <= got["grow-diag-final-and"]
    if rule == "both":
        assert got["grow-diag-final"] == got["grow-diag-final-and"]


@settings(max_examples=50)
@given(pairs, pairs, rules)
def test_words_that_the_union_links_are_linked_by_final_under_either(forward: Pairs, reverse: Pairs, rule: str) -> None:
    links = symmetrize(Links(forward), Links(reverse), "grow-diag-final", "either")
    union = forward | reverse
    assert {i for i, _ in links} == {i for i, _ in union}
    assert {j for _, j in links} == {j for _, j in union}


@settings(max_examples=50)
@given(pairs, pairs)
def test_growing_under_both_keeps_what_it_adds_one_to_one(forward: Pairs, reverse: Pairs) -> None:
    start = symmetrize(Links(forward), Links(reverse), "intersection")
    added = symmetrize(Links(forward), Links(reverse), "grow-diag-final", "both") - start
    assert len({i for i, _ in added}) == len({j for _, j in added}) == len(added)
    assert not {i for i, _ in added} & {i for i, _ in start}
    assert not {j for _, j in added} & {j for _, j in start}


@settings(max_examples=50)
@given(pairs, methods, rules)
def test_one_alignment_twice_is_itself(forward: Pairs, method: str, rule: str) -> None:
    assert symmetrize(Links(forward), Links(forward), method, rule) == Links(forward)


@settings(max_examples=50)
@given(pairs, pairs, methods.filter(lambda m: "final" not in m), rules)
def test_directions_may_be_exchanged_before_final(forward: Pairs, reverse: Pairs, method: str, rule: str) -> None:
    one, other = Links(forward), Links(reverse)
    assert symmetrize(one, other, method, rule) == symmetrize(other, one, method, rule)


@settings(max_examples=50)
@given(pairs, pairs, st.sampled_from(["intersection", "union"]), rules)
def test_sides_may_be_exchanged(forward: Pairs, reverse: Pairs, method: str, rule: str) -> None:
    one, other = Links(forward), Links(reverse)
    assert symmetrize(one.reverse(), other.reverse(), method, rule) == symmetrize(one, other, method, rule).reverse()


def test_long_sentences_have_their_words_numbered() -> None:
    far = Links([(0, 0), (3_000_000, 4_000_000), (3_000_001, 4_000_001)])
    near = Links([(0, 0), (3_000_000, 4_000_000)])
    tables = (LinkTable.from_links([links, links]) for links in (far, near))
    assert list(symmetrize_table(*tables, "grow-diag", "both")) == [far, far]


def test_errors_and_empty() -> None:
    nothing = LinkTable.from_links([])
    assert symmetrize_table(nothing, nothing).sentences == 0
    assert symmetrize_table(LinkTable.from_links([Links()] * 2), LinkTable.from_links([Links()] * 2)).sentences == 2
    with pytest.raises(UnknownNameError, match="Did you mean 'grow-diag'"):
        symmetrize(Links(), Links(), "grow-dia")
    with pytest.raises(UnknownNameError, match=r"symmetrisation rule 'neither'. Did you mean 'either'"):
        symmetrize(Links(), Links(), "grow", "neither")
    with pytest.raises(LengthMismatchError, match="1 sentence pairs forward but 2 reverse"):
        symmetrize_table(LinkTable.from_links([Links()]), LinkTable.from_links([Links()] * 2))
    high = LinkTable(np.array([0]), np.array([2**30]), np.array([2**30]), 1)
    with pytest.raises(InputError, match="too high for a sentence"):
        symmetrize_table(high, high)


@pytest.mark.parametrize("corpus", ["giza/test.roen", "fastalign/test.enfr"])
@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("intersection", "intersection"),
        ("union", "union"),
        ("grow-diag", "grow-diagonal"),
        ("grow-diag-final", "grow-diagonal-final"),
        ("grow-diag-final-and", "grow-diagonal-final"),
    ],
)
def test_published_files_line_for_line(oracle_folder: Path, corpus: str, method: str, name: str) -> None:
    stem = oracle_folder / "lilt" / corpus
    forward = read_links(f"{stem}.talp", base=0)
    reverse = read_links(f"{stem}.reverse.talp", base=0, order="ts")
    assert symmetrize_table(forward, reverse, method, "both") == read_links(f"{stem}.{name}.talp", base=0)


def test_the_rules_differ_on_published_files(oracle_folder: Path) -> None:
    stem = oracle_folder / "lilt" / "giza" / "test.roen"
    forward = read_links(f"{stem}.talp", base=0)
    reverse = read_links(f"{stem}.reverse.talp", base=0, order="ts")
    both, either = (symmetrize_table(forward, reverse, "grow-diag", rule) for rule in RULES)
    assert either.links > both.links + 500
