"""Selection of views: by hand on made-up maps, the optimum of the regression, and maps that are read again."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from align_eval.attribution.matrix import ScoreMatrix, Side, View
from align_eval.corpora import SentencePair
from align_eval.errors import InputError, UnknownNameError
from align_eval.extraction import make_extractor
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable
from align_eval.runs import sweep as sweep_module
from align_eval.runs.selection import SELECTORS, Selected, _cells, _fit, candidates, select
from align_eval.runs.sweep import MapSource, Sweep, WordMaps, for_testset, split, sweep_testset
from align_eval.scoring import measures

Floats = NDArray[np.float64]


def made_up(shapes: Sequence[tuple[int, int]], gold: Sequence[GoldLinks]) -> Any:
    pairs = [SentencePair(str(k), ("s",) * m, ("t",) * n, gold[k]) for k, (m, n) in enumerate(shapes)]
    table = LinkTable.from_links(list(gold))
    return SimpleNamespace(name="made-up", checksum="0" * 64, base=0, pairs=pairs, gold=table)


def cells_of(testset: Any, index: int, only_sure: bool) -> torch.Tensor:
    pair = testset.pairs[index]
    out = torch.zeros((1, len(pair.source), len(pair.target)), dtype=torch.bool)
    table = testset.gold
    part = slice(int(table.offsets[index]), int(table.offsets[index + 1]))
    for source, target, sure in zip(table.source[part], table.target[part], table.sure[part], strict=True):
        out[0, int(source), int(target)] = bool(sure) or not only_sure
    return out


def sweep_of(maps: Sequence[Floats], testset: Any, development: Sequence[int], method: str = "reverse") -> Sweep:
    """A sweep over made-up maps: one array ``(V, m, n)`` a pair, all words with a sub-word."""
    views = tuple(View(1, head + 1, "awo") for head in range(len(maps[0])))
    source = MapSource(None, "attention", testset.pairs, testset.gold, list(development), {})
    source.begin(views)
    counts = np.zeros((len(views), len(maps), 4), dtype=np.int32)
    extractor = make_extractor(method)
    for k, values in enumerate(maps):
        m, n = values.shape[1:]
        sides = [Side(torch.arange(size)[None], (size,), (size,)) for size in (m, n)]
        matrix = ScoreMatrix(torch.from_numpy(values)[:, None], *sides, views, "made up", indices=(k,))
        one = WordMaps(matrix, cells_of(testset, k, True), cells_of(testset, k, False))
        of_gold = WordMaps.of(matrix, testset.gold)
        assert torch.equal(of_gold.sure, one.sure)
        assert torch.equal(of_gold.possible, one.possible)
        counts[:, k] = one.count(extractor)[:, 0]
        source.keep(one)
    counts[:, :, 1] = np.bincount(testset.gold.sentence[testset.gold.sure], minlength=len(maps))
    return Sweep(
        testset, "model", method, "attention", views, counts, {"model": "model"}, source, np.ones(len(maps), dtype=bool)
    )


def halves() -> tuple[list[Floats], Any]:
    """Four pairs of 4 x 4 words, gold on the diagonal. View 1 knows the first two target words, view 2 the others.

    Where a view does not know, it looks at source word 1 (view 1) or 4 (view 2), weakly. View 3 is wrong everywhere.
    """
    one, two, three = np.full((3, 4, 4), 0.01)
    for j in range(4):
        one[j if j < 2 else 0, j] = 0.9 if j < 2 else 0.3
        two[j if j >= 2 else 3, j] = 0.9 if j >= 2 else 0.3
        three[(j + 1) % 4, j] = 0.8
    gold = [GoldLinks(Links([(j, j) for j in range(4)]), Links([]))] * 4
    return [np.stack([one, two, three])] * 4, made_up([(4, 4)] * 4, gold)


PARTS = (np.array([0, 1]), np.array([2, 3]))


def test_greedy_by_hand() -> None:
    maps, testset = halves()
    found = sweep_of(maps, testset, PARTS[0])
    assert found.aer().tolist() == pytest.approx([50, 50, 100])
    one = select(found, "greedy", PARTS, resamples=0)
    assert one.selection.views == (0, 1)
    assert one.selection.weights == (0.5, 0.5)
    assert one.selection.notes["development_path"] == [50, 0]
    assert (one.score.aer, one.score.sentences, one.development) == (0, 2, 2)
    assert one.score.signature["selection"] == "greedy/0.5"
    assert (one.score.signature["layer"], one.score.signature["head"]) == ("1,1", "1,2")
    assert one.describe(found) == "2 views (layer.head): 1.1 awo, 1.2 awo"
    row = one.to_json(found)
    assert (row["selection"], row["layer"], row["head"], row["mode"]) == ("greedy", 1, "several", "awo")
    assert [view["head"] for view in row["views"]] == [1, 2]


def test_greedy_ends_at_max_heads_and_where_nothing_falls() -> None:
    maps, testset = halves()
    found = sweep_of(maps, testset, PARTS[0])
    single = select(found, "greedy", PARTS, max_heads=1, resamples=0)
    best = select(found, "best", PARTS, resamples=0)
    assert single.selection.views == best.selection.views == (0,)
    assert single.score.aer == best.score.aer == 50
    assert best.score.signature["selection"] == "best/0.5"
    alone = sweep_of([values[[0, 2]] for values in maps], testset, PARTS[0])
    assert select(alone, "greedy", PARTS, resamples=0).selection.views == (0,)  # the wrong view does not help
    with pytest.raises(InputError, match="0 heads"):
        select(found, "greedy", PARTS, max_heads=0)


def noisy(seed: int = 4, pairs: int = 12, views: int = 6) -> tuple[list[Floats], Any]:
    """Maps in which views 2 and 5 know of the gold links, the others are noise; some links are possible only."""
    rng = np.random.default_rng(seed)
    maps, golds, shapes = [], [], []
    for _ in range(pairs):
        m, n = int(rng.integers(3, 7)), int(rng.integers(3, 7))
        sure = [(int(rng.integers(m)), j) for j in range(n)]
        possible = [(i, j) for i in range(m) for j in range(n) if rng.random() < 0.1 and (i, j) not in sure]
        values = rng.random((views, m, n))
        for i, j in sure:
            values[1, i, j] += 0.5
            values[4, i, j] += 0.4
        maps.append(values)
        shapes.append((m, n))
        golds.append(GoldLinks(Links(sure), Links(possible)))
    return maps, made_up(shapes, golds)


def test_logistic_finds_the_views_that_know() -> None:
    maps, testset = noisy(pairs=40)
    parts = split(40, 0.5, 1)
    found = sweep_of(maps, testset, parts[0])
    one = select(found, "logistic", parts, resamples=50)
    weights = dict(zip(one.selection.views, one.selection.weights, strict=True))
    assert weights[1] > 0
    assert weights[4] > 0
    assert sorted(weights, key=lambda v: -abs(weights[v]))[:2] == [1, 4]
    assert one.score.aer < select(found, "best", parts, resamples=0).score.aer
    assert len(one.selection.notes["cross_validation"]) == 8
    assert one.score.signature["layer"] == "several"
    assert one.score.signature["params"].startswith("C=")
    # The map is the probability of the equation.
    values = torch.from_numpy(maps[0][list(one.selection.views)])[:, None]
    linear = one.selection.intercept + sum(w * values[k] for k, w in enumerate(one.selection.weights))
    assert torch.allclose(one.selection.combine(values), 1 / (1 + torch.exp(-linear)))


def test_the_fit_is_the_optimum_and_leaves_possible_links_out() -> None:
    """At the optimum C dL/dw_v is -sign(w_v) where w_v is not 0 and within -1..1 elsewhere, and dL/db is 0."""
    maps, testset = noisy()
    found = sweep_of(maps, testset, range(12))
    features, labels, sentences = _cells(list(found.maps.batches(range(12), range(6))))
    gold = testset.gold
    cells = sum(len(p.source) * len(p.target) for p in testset.pairs)
    assert len(labels) == len(sentences) == cells - int((~gold.sure).sum())
    assert int(labels.sum()) == int(gold.sure.sum())
    features /= features.std(axis=0)
    for penalty in (0.05, 1.0):
        fit = _fit(features, labels, penalty, seed=1)
        assert fit.notes["converged"]
        error = 1 / (1 + np.exp(-(features @ np.array(fit.weights) + fit.intercept))) - labels
        slope = penalty * (features.T @ error)
        taken = np.array(fit.weights) != 0
        assert taken.any()
        # The part of the penalty that the intercept bears leaks into the slopes of features that are not centred.
        slope -= penalty * features.mean(axis=0) * error.sum()
        assert np.allclose(slope[taken], -np.sign(np.array(fit.weights)[taken]), atol=0.02)
        assert (np.abs(slope[~taken]) <= 1.02).all()
        assert abs(penalty * error.sum()) < 0.15


@pytest.mark.parametrize("name", ["best", "greedy", "logistic"])
def test_the_rest_has_no_say(name: str) -> None:
    maps, testset = noisy()
    parts = split(12, 0.5, 1)
    before = select(sweep_of(maps, testset, parts[0]), name, parts, resamples=0)
    golds = [pair.gold for pair in testset.pairs]
    for k in parts[1]:
        golds[k] = GoldLinks(Links([(0, 0)]), Links([]))
        maps[k] = maps[k][::-1].copy()
    shapes = [(len(pair.source), len(pair.target)) for pair in testset.pairs]
    after = select(sweep_of(maps, made_up(shapes, golds), parts[0]), name, parts, resamples=0)
    assert before.selection == after.selection
    assert before.score.aer != after.score.aer


@pytest.mark.parametrize("name", ["greedy", "logistic"])
def test_the_score_is_that_of_the_links_of_the_combined_maps(name: str) -> None:
    maps, testset = noisy()
    parts = split(12, 0.5, 1)
    found = sweep_of(maps, testset, parts[0])
    one = select(found, name, parts, resamples=0)
    sums = np.zeros(4)
    for k in parts[1]:
        values = sum(w * maps[k][v] for v, w in zip(one.selection.views, one.selection.weights, strict=True))
        links = {(int(i), j) for j, i in enumerate(values.argmax(axis=0))}
        gold = testset.pairs[k].gold
        sure, possible = set(gold.sure), set(gold.sure) | set(gold.possible)
        sums += [len(links), len(sure), len(links & sure), len(links & possible)]
    assert one.score.aer == pytest.approx(float(measures(sums)["aer"]))


def test_errors() -> None:
    maps, testset = halves()
    found = sweep_of(maps, testset, PARTS[0])
    with pytest.raises(UnknownNameError, match=r"unknown selection 'gready'. Did you mean 'greedy'"):
        select(found, "gready", PARTS)
    with pytest.raises(InputError, match="cannot be fitted on 1 sentence pairs"):
        select(found, "logistic", (np.array([0]), np.array([1, 2, 3])))
    assert SELECTORS.names() == ["best", "greedy", "logistic"]


def test_candidates_are_the_best_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, testset = halves()
    found = sweep_of(maps, testset, PARTS[0])
    assert candidates(found, PARTS[0]) == [0, 1, 2]
    assert candidates(found, PARTS[0], 2) == [0, 1]
    monkeypatch.setattr("align_eval.runs.selection.BOUND", 2 * 32)  # two views of two pairs of 16 cells
    assert candidates(found, PARTS[0]) == [0, 1]


def tiny() -> Any:
    from tests.models import families

    pairs = families.pairs()
    gold = [GoldLinks(Links([(0, 0)]), Links([])) for _ in pairs]
    named = {"source_language": "de", "target_language": "en"}
    return SimpleNamespace(
        name="tiny", checksum="0" * 64, base=0, pairs=pairs, gold=LinkTable.from_links(gold), **named
    )


@pytest.mark.parametrize("bound", [0, 24 * 40, 1 << 27], ids=["nothing kept", "development kept", "all kept"])
def test_maps_read_again_are_those_of_the_first_pass(bound: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.models import families

    testset, model = tiny(), families.build("marian", layers=2)
    parts = (np.array([0, 2]), np.array([1, 3]))
    whole = {name: chosen(testset, model, name, parts) for name in ("greedy", "logistic")}
    monkeypatch.setattr(sweep_module, "BOUND", bound)
    for name, expected in whole.items():
        again = chosen(testset, model, name, parts)
        assert again.selection.views == expected.selection.views
        assert np.allclose(again.selection.weights, expected.selection.weights, rtol=1e-3)
        assert again.score.aer == expected.score.aer


def chosen(testset: Any, model: Any, name: str, parts: Any) -> Selected:
    found = sweep_testset(testset, model, development=parts[0], token_budget=40)
    return select(found, name, parts, resamples=0)


def test_the_languages_of_a_test_set() -> None:
    from tests.models import families

    testset = tiny()
    model = for_testset(families.build("marian", layers=1, target_language=None), testset)
    assert model.target_language == "en"
    assert for_testset(families.build("marian", layers=1, target_language="de"), testset).target_language == "de"
    prompt = for_testset(families.build("gpt2", layers=1), testset).template.render(testset.pairs[0]).text
    assert prompt == "German: das kleine Haus\nEnglish: the small house\n"
    encoder = families.build("bert", layers=1)
    assert for_testset(encoder, testset) is encoder
