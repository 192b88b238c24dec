"""Score of a table of links: values, invariants, errors."""

import json
from math import isnan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.errors import EmptyGoldError, InputError, LengthMismatchError
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable
from align_eval.scoring import score
from tests.scoring.reference import Corpus, corpora, gold_table, proposed_table, reference_scores


def test_json_has_what_is_promised() -> None:
    gold = LinkTable.from_links([GoldLinks(Links([(0, 0), (1, 1)]), Links([(1, 2)])), GoldLinks(Links([(0, 1)]))])
    proposed = LinkTable.from_links([Links([(0, 0), (1, 2)]), Links([(0, 0)])])
    out = json.loads(json.dumps(score(gold, proposed, resamples=200, seed=4).to_json()))
    assert (out["links"], out["sure"], out["possible"], out["sentences"]) == (3, 3, 4, 2)
    assert out["aer"] == 50
    assert out["precision"] == pytest.approx(66.666667)
    assert out["recall"] == pytest.approx(33.333333)
    assert set(out["ci"]) == {"aer", "precision", "recall", "f1", "f_alpha"}
    low, high = out["ci"]["aer"]
    assert 0 <= low <= out["aer"] <= high <= 100
    assert out["signature"].startswith("sentences:2|bs:200|ci:studentised|seed:4|version:")


def test_no_resamples_no_intervals() -> None:
    table = LinkTable.from_links([Links([(0, 0)])])
    result = score(table, table, resamples=0, confidence=0.9, alpha=0.25)
    assert result.ci == {}
    assert str(result.signature).startswith("sentences:1|alpha:0.25|bs:0|")


def test_wider_confidence_gives_wider_intervals() -> None:
    gold = LinkTable.from_links([Links([(k, k) for k in range(5)])] * 30)
    proposed = LinkTable.from_links([Links([(k, k % (1 + n % 5)) for k in range(5)]) for n in range(30)])
    narrow, wide = (score(gold, proposed, confidence=level).ci["aer"] for level in (0.5, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@settings(max_examples=40)
@given(corpora.filter(lambda c: any(p for _, p, _ in c)))
def test_is_the_corpus_score(corpus: Corpus) -> None:
    result = score(gold_table(corpus), proposed_table(corpus), resamples=20)
    for name, value in reference_scores(corpus).items():
        got = getattr(result, name)
        assert got == (None if isnan(value) else pytest.approx(value, abs=1e-9))
        assert (got is None) == (result.to_json()[name] is None)
    for low, high in result.ci.values():
        assert 0 <= low <= high <= 100 + 1e-9


@settings(max_examples=40)
@given(corpora.filter(lambda c: any(p for _, p, _ in c)), st.randoms(use_true_random=False))
def test_the_order_of_sentences_does_not_matter(corpus: Corpus, random: object) -> None:
    shuffled = list(corpus)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (score(gold_table(c), proposed_table(c), resamples=0) for c in (corpus, shuffled))
    assert one == other


@settings(max_examples=40)
@given(corpora.filter(lambda c: any(s for s, _, _ in c)))
def test_gold_against_itself_is_perfect(corpus: Corpus) -> None:
    sure = [(s, s, s) for s, _, _ in corpus]
    result = score(gold_table(sure), proposed_table(sure), resamples=10)
    assert result.aer == 0
    assert result.precision == result.recall == result.f1 == 100
    assert result.ci["aer"] == (0, 0)


@settings(max_examples=40)
@given(corpora.filter(lambda c: any(p for _, p, _ in c)))
def test_sides_may_be_swapped(corpus: Corpus) -> None:
    gold, proposed = gold_table(corpus), proposed_table(corpus)
    assert score(gold, proposed, resamples=0) == score(gold.reverse(), proposed.reverse(), resamples=0)


@pytest.mark.parametrize(
    ("sure", "links", "undefined", "aer"),
    [
        ([0, 0], [2, 1], {"recall", "f1", "f_alpha"}, 0),  # possible gold alone
        ([0, 0], [0, 0], {"precision", "recall", "f1", "f_alpha"}, 0),  # nothing against nothing
        ([1, 2], [0, 0], {"precision", "f1", "f_alpha"}, 100),
        ([0, 1], [1, 1], set(), 0),
    ],
)
def test_a_measure_with_nothing_below_the_line_is_none(
    sure: list[int], links: list[int], undefined: set[str], aer: float
) -> None:
    """And null in JSON; no interval of it; resamples in which it is undefined are left out and counted."""
    diagonal = Links([(0, 0), (1, 1)])
    gold = LinkTable.from_links([GoldLinks(Links(list(diagonal)[:n]), diagonal) for n in sure])
    result = score(gold, LinkTable.from_links([Links(list(diagonal)[:n]) for n in links]), resamples=100)
    out = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {name for name in ("aer", "precision", "recall", "f1", "f_alpha") if out[name] is None} == undefined
    assert result.aer == aer
    assert not undefined & {*result.ci, *result.left_out}
    assert ("recall" in result.left_out) == (sure == [0, 1])
    if sure == [0, 1]:
        assert result.ci["recall"] == (100, 100)
        assert out["left_out"]["recall"] == result.left_out["recall"] == result.left_out["f1"]


def test_errors() -> None:
    one, two = LinkTable.from_links([Links([(0, 0)])]), LinkTable.from_links([Links([(0, 0)])] * 2)
    nothing = LinkTable.from_links([Links()])
    with pytest.raises(EmptyGoldError, match="no sentence pairs"):
        score(LinkTable.from_links([]), LinkTable.from_links([]))
    with pytest.raises(EmptyGoldError, match="1 sentence pairs but not a single link"):
        score(nothing, one)
    with pytest.raises(LengthMismatchError, match="1 sentence pairs, the hypothesis 2"):
        score(one, two)
    assert score(one, nothing, resamples=0).aer == 100
    for wrong in ({"resamples": -1}, {"seed": -1}, {"confidence": 1.0}, {"confidence": 0.0}, {"alpha": -0.1}):
        with pytest.raises(InputError):
            score(one, one, **wrong)  # type: ignore[arg-type]
