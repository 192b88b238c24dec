"""``ae.score``, ``ae.symmetrize`` and ``ae.align`` on plain Python data: the same numbers, or one typed error."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import align_eval as ae
from align_eval.corpora.plain import as_pairs, as_table
from align_eval.errors import AlignEvalError, AlignEvalWarning, InputError, LengthMismatchError, UnknownNameError

Corpus = list[set[tuple[int, int]]]

# Every form of the links of many sentence pairs.
FORMS: dict[str, Callable[[Corpus], Any]] = {
    "Links": lambda corpus: [ae.Links(sorted(pairs)) for pairs in corpus],
    "table": lambda corpus: ae.LinkTable.from_links([ae.Links(sorted(pairs)) for pairs in corpus]),
    "lists of tuples": lambda corpus: [sorted(pairs) for pairs in corpus],
    "tuples of lists": lambda corpus: tuple([list(pair) for pair in sorted(pairs)] for pairs in corpus),
    "sets": lambda corpus: list(corpus),
    "generators": lambda corpus: (iter(sorted(pairs)) for pairs in corpus),
    "text": lambda corpus: [" ".join(f"{i}-{j}" for i, j in sorted(pairs)) for pairs in corpus],
    "lists of text": lambda corpus: [[f"{i}-{j}" for i, j in sorted(pairs)] for pairs in corpus],
    "one text": lambda corpus: "".join(" ".join(f"{i}-{j}" for i, j in sorted(pairs)) + "\n" for pairs in corpus),
    "arrays": lambda corpus: [np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2) for pairs in corpus],
    "arrays of rows": lambda corpus: [list(np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2)) for pairs in corpus],
    "gold": lambda corpus: [ae.GoldLinks(ae.Links(sorted(pairs))) for pairs in corpus],
    "names": lambda corpus: {f"s{k}": sorted(pairs) for k, pairs in enumerate(corpus)},
    "sure": lambda corpus: [{"sure": sorted(pairs)} for pairs in corpus],
}

corpora = st.lists(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6), min_size=1, max_size=5)


@pytest.mark.filterwarnings("ignore::align_eval.errors.AlignEvalWarning")
@settings(max_examples=25, deadline=None)
@given(corpora.filter(any), st.data())
def test_every_plain_form_gives_the_same_score(gold: Corpus, data: st.DataObject) -> None:
    hypothesis = data.draw(st.permutations(gold))
    expected = ae.score(FORMS["Links"](gold), FORMS["Links"](hypothesis), resamples=0)
    for name, form in FORMS.items():
        assert ae.score(form(gold), FORMS["Links"](hypothesis), resamples=0) == expected, name
        assert ae.score(FORMS["Links"](gold), form(hypothesis), resamples=0) == expected, name


@pytest.mark.parametrize(
    "gold",
    [
        ["0-0 1p1", ""],
        "0-0 1?1\n\n",
        [ae.GoldLinks(ae.Links("0-0"), ae.Links("1-1")), ae.Links()],
        [{"sure": [(0, 0)], "possible": [[1, 1]]}, {"sure": "", "possible": []}],
        {"a": "0-0 1p1", "b": []},
    ],
)
def test_forms_of_gold(gold: Any) -> None:
    told = "the hypothesis names no sentence pairs"
    with pytest.warns(AlignEvalWarning, match=told) if isinstance(gold, dict) else contextlib.nullcontext():
        found = ae.score(gold, [[(0, 0), (1, 1)], []], resamples=0)
    assert (found.aer, found.sure, found.possible, found.sentences) == (0, 1, 2, 2)


def test_names_and_files(tmp_path: Path) -> None:
    links = ae.load_testset("mini-ende").gold
    assert ae.score("mini-ende", links, resamples=0).signature["set"] == "mini-ende"
    (tmp_path / "gold.talp").write_text("0-0 1-1\n0p1\n")
    for gold in (tmp_path / "gold.talp", str(tmp_path / "gold.talp")):
        assert ae.score(gold, ["0-0 1-1", "0-1"], resamples=0).aer == 0
        assert ae.score(["0-0 1-1", "0p1"], gold, resamples=0).aer == 0
    with pytest.raises(UnknownNameError, match="Did you mean 'mini-ende'"):
        ae.score("mini-end", links)


@pytest.mark.parametrize(
    "links",
    [
        [(0, 0), (1, 1)],  # the links of one sentence pair
        [[0, 0], [1, 1]],
        np.array([[0, 0], [1, 1]]),
        ["0-0", "1-x"],
        ["0-0", "a b c"],
        [["0-0", "x"]],
        "some text",
        [None, None],
        [[(0, 0)], [(0, 1, 2)]],
        [[(0, 0)], [(0, -1)]],
        [[(0, 0)], [(0.5, 1)]],
        [[("a", "b")]],
        [[True, False]],
        [{"links": []}],
        {"sure": [(0, 0)]},
        None,
        5,
        ae.Links("0-0"),
    ],
)
def test_what_is_no_links_is_one_typed_error(links: Any) -> None:
    for call in (lambda: ae.score([[(0, 0)], [(1, 1)]], links), lambda: as_table(links, "x")):
        with pytest.raises(AlignEvalError) as caught:
            call()
        assert caught.value.remedy


@pytest.mark.filterwarnings("ignore::align_eval.errors.AlignEvalWarning")
def test_policies_of_score() -> None:
    gold, links = {"1": "0-0 1-1", "3": "0-0"}, {"3": "0-0", "2": "0-0", "1": "0-0 1-1"}
    with pytest.raises(LengthMismatchError, match="'2' is in the hypothesis alone"):
        ae.score(gold, links)
    with pytest.warns(AlignEvalWarning, match="1 of 3 sentence pairs has no gold link"):
        counted = ae.score(gold, links, missing_sentences="empty", resamples=0)
    assert (counted.sentences, counted.precision) == (3, 75)
    with pytest.warns(AlignEvalWarning):
        left = ae.score(gold, links, missing_sentences="empty", unannotated="skip", resamples=0)
    assert (left.sentences, left.aer) == (2, 0)
    assert {key: left.signature[key] for key in ("missing", "unannotated", "sym")} == {
        "missing": "empty", "unannotated": "skip", "sym": "unknown"
    }  # fmt: skip
    assert ae.score(["0-0"], ["0-0", "1-1"], first=1, resamples=0).aer == 0
    assert ae.score(gold, links, first=1, resamples=0).aer == 0
    for wrong in ({"unannotated": "drop"}, {"first": 0}, {"first": 9}, {"missing_sentences": "skip"}):
        with pytest.raises(InputError):
            ae.score(gold, gold, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda i, j: (i + 1, j + 1), "if the indices of the hypothesis count from 1"),
        (lambda i, j: (j, i), "with source and target of the hypothesis swapped"),
        (lambda i, j: (j + 1, i + 1), "target-source and counts from 1"),
    ],
)
def test_another_base_or_order_is_told(change: Callable[[int, int], tuple[int, int]], said: str) -> None:
    gold = ae.load_testset("mini-ende").gold
    links = [[change(i, j) for i, j in gold[k]] for k in range(len(gold))]
    with pytest.warns(AlignEvalWarning, match=f"{said} it would be 0.00"):
        ae.score(gold, links, resamples=0)


@pytest.mark.parametrize("gold", ["0-0 1-1", "0-0 1-1 2-2", "0-0 2-1 1-2"])
def test_links_from_the_first_word_on_count_from_0(gold: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ae.score([gold], ["0-0"], resamples=0).aer > 15


def test_symmetrize_takes_the_same_forms() -> None:
    forward, reverse = ["0-0 1-1 2-1", ""], [[(0, 0), (1, 1), (1, 2)], []]
    found = ae.symmetrize(forward, reverse, "grow-diag", "either")
    assert [str(found[k]) for k in range(2)] == ["0-0 1-1 1-2 2-1", ""]
    assert found.provenance == {"sym": "grow-diag/either"}
    one, other = ae.Links("0-0 1-1 2-1"), ae.Links("0-0 1-1 1-2")
    assert ae.symmetrize(one, other, "grow-diag", "either") == found[0]
    with pytest.raises(AlignEvalError):
        ae.symmetrize(forward, reverse[:1])
    gold = ae.load_testset("mini-enzh").gold
    with pytest.warns(AlignEvalWarning, match=r"pass reverse\.reverse\(\)"):
        ae.symmetrize(gold, gold.reverse())


@pytest.mark.parametrize(
    "pairs",
    [
        [("I give up", "Ich gebe auf")],
        [["I give up", "Ich gebe auf"]],
        [(["I", "give", "up"], ["Ich", "gebe", "auf"])],
        [(("I", "give", "up"), "Ich  gebe auf")],
        ["I give up ||| Ich gebe auf"],
        zip(["I give up"], ["Ich gebe auf"], strict=True),
        [ae.SentencePair("1", ("I", "give", "up"), ("Ich", "gebe", "auf"))],
        ae.Corpus.from_texts(["I give up"], ["Ich gebe auf"]),
    ],
)
def test_forms_of_sentence_pairs(pairs: Any) -> None:
    [pair] = as_pairs(pairs)
    assert (pair.source, pair.target) == (("I", "give", "up"), ("Ich", "gebe", "auf"))


def test_names_and_files_of_sentence_pairs(tmp_path: Path) -> None:
    assert list(as_pairs("mini-ende")) == ae.load_testset("mini-ende").pairs
    (tmp_path / "text.tsv").write_text("a b\tc\n")
    assert [pair.source for pair in as_pairs(tmp_path / "text.tsv")] == [("a", "b")]
    with pytest.raises(UnknownNameError, match="no such file"):
        as_pairs("mini-endee")


@pytest.mark.parametrize(
    "pairs",
    [
        ("I give up .", "Ich gebe auf ."),  # one pair: its letters were aligned as words
        ["I give up .", "Ich gebe auf ."],
        [("a", "b", "c")],
        [("a",)],
        [(1, 2)],
        [(["a", 1], ["b"])],
        [(None, "b")],
        [{"source": "a", "target": "b"}],
        {"a": "b"},
        ["a ||| b ||| c"],
        None,
        7,
    ],
)
def test_what_is_no_sentence_pairs_is_one_typed_error(pairs: Any) -> None:
    with pytest.raises(InputError) as caught:
        list(as_pairs(pairs))
    assert "Give (source, target)" in (caught.value.remedy or "")


def test_align_takes_plain_data(e5: Any) -> None:
    [expected] = ae.align([("I give up .", "Ich gebe auf .")], e5)
    assert ae.align(["I give up . ||| Ich gebe auf ."], e5)[0] == expected
    assert ae.align([[["I", "give", "up", "."], ["Ich", "gebe", "auf", "."]]], e5)[0] == expected
    with pytest.raises(InputError, match="zip"):
        ae.align(["I give up ."], ["Ich gebe auf ."])  # type: ignore[arg-type]
    with pytest.raises(InputError):
        ae.align(("I give up .", "Ich gebe auf ."), e5)


def test_types_take_plain_data_too(tmp_path: Path) -> None:
    gold = ae.GoldLinks("0-0", [(1, 1)])  # type: ignore[arg-type]
    assert str(gold) == "0-0 1p1"
    table = ae.LinkTable.from_links([gold, "0-0", [(1, 0)]])  # type: ignore[list-item]
    assert [str(links) for links in table] == ["0-0 1-1", "0-0", "1-0"]
    ae.write_links(tmp_path / "x.talp", [[(0, 0)], "1-1"])  # type: ignore[list-item]
    assert (tmp_path / "x.talp").read_text() == "0-0\n1-1\n"
    assert ae.symmetrize("0-0 1-1", ae.Links("0-0"), "intersection") == ae.Links("0-0")
    for call in (
        lambda: ae.GoldLinks(5),  # type: ignore[arg-type]
        lambda: ae.LinkTable.from_links([5]),  # type: ignore[list-item]
        lambda: ae.write_links(tmp_path / "y.talp", [["a"]]),  # type: ignore[list-item]
        lambda: ae.evaluate([("a", "b")]),  # type: ignore[list-item]
        lambda: ae.evaluate(None),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError):
            call()
