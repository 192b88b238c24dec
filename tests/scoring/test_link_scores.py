"""Scores of links judged: average precision and calibration by hand, thresholds against the scorer, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import align_eval as ae
from align_eval.cli import main
from align_eval.errors import InputError
from align_eval.figures.link_scores import scores_figure
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable
from align_eval.scoring.link_scores import average_precision, expected_calibration_error, link_scores, reliability


def test_average_precision_by_hand() -> None:
    """0.9 sure, 0.8 wrong, 0.8 possible, 0.5 sure; of three sure links: 1/3 at precision 1, none, 1/3 at 3/4."""
    scores = np.array([0.8, 0.9, 0.5, 0.8])
    possible, sure = np.array([False, True, True, True]), np.array([False, True, True, False])
    assert average_precision(scores, possible, sure, 3) == pytest.approx(1 / 3 * 1 + 0 * 2 / 3 + 1 / 3 * 3 / 4)


def test_calibration_by_hand() -> None:
    rows = reliability(np.array([1.0, 0.95, 0.31, 0.35]), np.array([True, True, False, True]))
    assert [(row["from"], row["count"], row["right"]) for row in rows] == [(0.3, 2, 0.5), (0.9, 2, 1.0)]
    assert expected_calibration_error(rows) == pytest.approx((2 * 0.17 + 2 * 0.025) / 4)
    assert expected_calibration_error([]) is None


@pytest.fixture(scope="module")
def random() -> tuple[LinkTable, LinkTable]:
    rng = np.random.default_rng(5)
    golds, found = [], []
    for _ in range(60):
        sure, possible = rng.random((6, 7)) < 0.15, rng.random((6, 7)) < 0.1
        scores = np.clip(rng.random((6, 7)) * 0.6 + 0.4 * (sure | possible), 0, 1)
        golds.append(GoldLinks(Links(np.argwhere(sure)), Links(np.argwhere(sure | possible))))
        found.append(Links.from_matrix(scores > 0.4, scores))
    return LinkTable.from_links(golds), LinkTable.from_links(found)


def test_the_curve_is_that_of_the_scorer(random: tuple[LinkTable, LinkTable]) -> None:
    gold, links = random
    found = link_scores(gold, links, resamples=0)
    assert links.scores is not None
    for row in found.curve[::17]:
        keep = links.scores >= np.float32(row["threshold"])
        part = LinkTable(links.sentence[keep], links.source[keep], links.target[keep], links.sentences)
        expected = ae.score(gold, part, resamples=0)
        assert (row["aer"], row["precision"]) == pytest.approx((expected.aer, expected.precision), abs=1e-5)
        assert row["kept"] == pytest.approx(keep.mean(), abs=1e-6)
    assert found.dev + found.rest == 60
    assert found.after.aer < found.before.aer
    recalls = [row["recall"] for row in found.curve]
    assert recalls == sorted(recalls)


def test_the_same_seed_chooses_the_same(random: tuple[LinkTable, LinkTable]) -> None:
    one, two = (link_scores(*random, seed=3, resamples=0).threshold for _ in range(2))
    assert one == two


class TestRefused:
    def test_no_scores(self) -> None:
        with pytest.raises(InputError, match="no scores"):
            ae.score_links(["0-0"] * 10, ["0-0"] * 10)

    def test_too_few(self) -> None:
        with pytest.raises(InputError, match="too few"):
            ae.score_links(["0-0"], ["0-0:0.5"])

    def test_scores_that_are_no_probabilities_have_no_calibration(self) -> None:
        found = ae.score_links(["0-0"] * 10, [f"0-0:{k}" for k in range(10)], resamples=0)
        assert found.ece is None
        assert not found.reliability


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    testset = ae.load_testset("mini-ende")
    rng = np.random.default_rng(1)
    with open(tmp_path / "links.jsonl", "w", encoding="utf-8") as stream:
        for pair in testset.pairs:
            links = [list(link) for link in pair.gold.possible] if pair.gold else []
            scores = [round(float(x), 4) for x in rng.random(len(links))]
            row = {"id": pair.id, "source": list(pair.source), "target": list(pair.target), "links": links}
            stream.write(json.dumps({**row, "scores": scores}) + "\n")
    words = ["score", "mini-ende", str(tmp_path / "links.jsonl"), "--resamples", "0", "--scores"]
    figure = tmp_path / "scores.png"
    with pytest.raises(SystemExit) as left:
        main([*words, "--json", "--scores-figure", str(figure)])
    assert not left.value.code
    (told,) = json.loads(capsys.readouterr().out)
    assert told["scores"]["average_precision"] == pytest.approx(1)  # every link is right
    assert figure.stat().st_size > 1000
    with pytest.raises(SystemExit):
        main(words)
    assert "from the threshold on" in capsys.readouterr().out
    found = ae.score_links("mini-ende", str(tmp_path / "links.jsonl"), resamples=0)
    assert len(scores_figure({"a": found}).axes) == 2
