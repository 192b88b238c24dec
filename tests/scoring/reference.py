"""Scoring once more, with sets and loops, to compare with; and strategies for links."""

from __future__ import annotations

from math import nan

from hypothesis import strategies as st

from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable

Pairs = set[tuple[int, int]]
Corpus = list[tuple[Pairs, Pairs, Pairs]]

pairs = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=12)


@st.composite
def sentence(draw: st.DrawFn) -> tuple[Pairs, Pairs, Pairs]:
    """S, P (S a subset) and A of one sentence pair."""
    sure, more, proposed = draw(pairs), draw(pairs), draw(pairs)
    return sure, sure | more, proposed


corpora = st.lists(sentence(), min_size=1, max_size=6)


def gold_table(corpus: Corpus) -> LinkTable:
    """S and P as a table."""
    return LinkTable.from_links([GoldLinks(Links(s), Links(p)) for s, p, _ in corpus])


def proposed_table(corpus: Corpus) -> LinkTable:
    """A as a table."""
    return LinkTable.from_links([Links(a) for _, _, a in corpus])


def reference_counts(corpus: Corpus) -> list[list[int]]:
    """The four counts of every sentence pair."""
    return [[len(a), len(s), len(a & s), len(a & p)] for s, p, a in corpus]


def reference_scores(corpus: Corpus) -> dict[str, float]:
    """Corpus measures in percent, written down from the definitions."""
    a, s, a_s, a_p = map(sum, zip(*reference_counts(corpus), strict=True))
    aer = 1 - (a_s + a_p) / (a + s) if a + s else 0.0
    precision = a_p / a if a else nan
    recall = a_s / s if s else nan
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"aer": 100 * aer, "precision": 100 * precision, "recall": 100 * recall, "f1": 100 * f1}
