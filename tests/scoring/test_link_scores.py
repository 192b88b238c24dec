"""Scores of links: by hand, by brute force, a planted threshold, files and figures, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import align_eval as ae
from align_eval.cli import main
from align_eval.errors import InputError, LengthMismatchError
from align_eval.links.table import LinkTable
from align_eval.scoring.link_scores import link_scores


def table(rows: list[tuple[int, int, int]], sentences: int, scores: list[float] | None = None, sure=None) -> LinkTable:  # type: ignore[no-untyped-def]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return LinkTable(*columns, sentences, sure, None if scores is None else np.array(scores))


GOLD = table([(0, 0, 0), (0, 1, 1), (0, 1, 2), (1, 0, 0)], 2, sure=np.array([True, True, False, True]))
LINKS = table([(0, 0, 0), (0, 1, 2), (0, 2, 2), (1, 0, 0), (1, 1, 1)], 2, [0.9, 0.75, 0.5, 0.5, 0.25])


def test_by_hand() -> None:
    """From the highest: sure; possible; sure and wrong together; wrong. Three sure links of gold, one not found."""
    found = link_scores(GOLD, LINKS, bins=4, development=None, resamples=0)
    assert (found.links, found.correct, found.chosen) == (5, 3, None)
    assert found.average_precision == pytest.approx(1 / 3 * 1 + 1 / 3 * 3 / 4)
    assert found.auc == pytest.approx((2 + 0.5 + 3) / 6)
    cut = found.by_threshold[3]  # from 0.75
    assert (cut.links, cut.kept, cut.precision, cut.recall) == (2, 0.4, 100.0, pytest.approx(100 / 3))
    assert cut.aer == pytest.approx(100 * (1 - (1 + 2) / (2 + 3)))
    assert cut.covered == pytest.approx(4 / 7)  # source words 0 and 1 of 3, target words 0 and 2 of 4
    assert [c.links for c in found.curve] == [1, 2, 4, 5]
    assert [(b.count, b.accuracy) for b in found.calibration.bins] == [(1, 0.0), (2, 0.5), (1, 1.0), (1, 1.0)]


def test_a_planted_threshold_is_found_and_helps_on_the_rest() -> None:
    """Each of 40 pairs has two links above 0.6 that are right and one below that is wrong."""
    rng = np.random.default_rng(3)
    gold = table([(k, i, i) for k in range(40) for i in range(2)], 40)
    rows = [(k, i, j) for k in range(40) for i, j in ((0, 0), (0, 1), (1, 1))]
    scores = np.where([i == j for _, i, j in rows], rng.uniform(0.6, 1, 120), rng.uniform(0, 0.5, 120))
    found = link_scores(gold, table(rows, 40, scores.tolist()), development=0.5, resamples=200)
    assert found.chosen is not None
    assert 0.5 < found.chosen.threshold <= scores[scores >= 0.6].min() + 0.05
    assert (found.chosen.development, found.chosen.development_aer) == (20, 0.0)
    assert found.chosen.test.aer < found.chosen.test_all.aer
    assert found.chosen.p_value is not None
    assert found.chosen.p_value < 0.05
    assert found.auc == found.average_precision == 1.0


def test_intervals_hold_the_value() -> None:
    rng = np.random.default_rng(5)
    gold = table([(k, i, i) for k in range(30) for i in range(4)], 30)
    rows = [(k, i, j) for k in range(30) for i in range(4) for j in (i, (i + 1) % 4)]
    links = table(rows, 30, [float(np.clip(rng.normal(0.6 if i == j else 0.4, 0.2), 0, 1)) for _, i, j in rows])
    found = link_scores(gold, links, resamples=300)
    for name in ("auc", "average_precision"):
        low, high = found.ci[name]
        assert low < getattr(found, name) < high
        assert high - low < 0.2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.integers(0, 4)), min_size=1))
def test_as_by_brute_force(given_rows: list[tuple[int, int, int, int]]) -> None:
    """AUC is the share of (correct, wrong) pairs in order; every cut is that of the links filtered by hand."""
    links = {(k, i, j): s / 4 for k, i, j, s in sorted(given_rows)}
    gold = {(k, i, i) for k in range(4) for i in range(3)}
    found = link_scores(
        table(sorted(gold), 4), table(list(links), 4, list(links.values())), resamples=0, development=None
    )
    right = [s for link, s in links.items() if link in gold]
    wrong = [s for link, s in links.items() if link not in gold]
    if right and wrong:
        assert found.auc == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a in right for b in wrong]))
    else:
        assert found.auc is None
    precise, before = 0.0, 0.0
    for level in sorted(set(links.values()), reverse=True):
        kept = [link in gold for link, s in links.items() if s >= level]
        precise += (sum(kept) / len(gold) - before) * sum(kept) / len(kept)
        before = sum(kept) / len(gold)
    assert found.average_precision == pytest.approx(precise)
    for cut in found.by_threshold:
        kept = [link in gold for link, s in links.items() if s >= cut.threshold]
        assert cut.links == len(kept)
        assert cut.aer == pytest.approx(100 * (1 - 2 * sum(kept) / (len(kept) + len(gold))))


@pytest.mark.parametrize("score", [1.5, -0.25])
def test_scores_outside_are_named(score: float) -> None:
    links = table([(0, 0, 0), (1, 0, 0)], 2, [0.5, score])
    with pytest.raises(
        InputError, match=r"mine: 1 of 2 scores .* is [-0-9.]+, of link 0-0 \(0-based\) of sentence pair 2"
    ):
        link_scores(GOLD, links, "mine")


def test_refused() -> None:
    with pytest.raises(InputError, match="no scores"):
        link_scores(GOLD, table([(0, 0, 0)], 2))
    with pytest.raises(LengthMismatchError):
        link_scores(GOLD, table([(0, 0, 0)], 3, [0.5]))
    for share in (-0.5, 1.0, 0.01):
        with pytest.raises(InputError, match="dev split"):
            link_scores(GOLD, LINKS, development=share)


def test_no_links_at_all() -> None:
    found = link_scores(GOLD, table([], 2), development=0.5, resamples=20)
    assert (found.average_precision, found.auc, found.calibration.ece) == (0.0, None, None)
    assert found.curve == []
    assert found.chosen is not None
    assert found.chosen.test.aer == 100.0


def files(folder: Path) -> tuple[str, str]:
    (folder / "gold.jsonl").write_text('{"links": [[0, 0], [1, 1]]}\n{"links": [[0, 0]]}\n' * 10)
    rows = ({"links": [[0, 0], [1, 1], [1, 0]], "scores": [0.9, 0.8, 0.3]}, {"links": [[0, 0]], "scores": [0.6]})
    (folder / "links.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) * 10)
    return str(folder / "gold.jsonl"), str(folder / "links.jsonl")


def run(*words: str) -> int:
    """The exit code of ``align-eval``."""
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, links = files(tmp_path)
    more = ["--gold-base", "0", "--hyp-base", "0", "--resamples", "50"]
    figure = tmp_path / "scores.png"
    assert run("score", gold, links, "--scores", "--json", "--scores-figure", str(figure), *more) == 0
    (told,) = json.loads(capsys.readouterr().out)
    found = told["scores"]
    assert (told["system"], told["links"], found["auc"], found["links"], found["correct"]) == (
        "links.jsonl", 40, 1.0, 40, 30
    )  # fmt: skip
    assert found["chosen"]["development"] == 4
    assert found["chosen"]["test"]["aer"] == 0
    assert found["chosen"]["threshold"] == pytest.approx(0.6)
    assert "selection:threshold/0.2" in found["signature"]
    assert figure.read_bytes()[:4] == b"\x89PNG"
    assert run("score", gold, links, "--scores", *more) == 0
    out = capsys.readouterr().out
    assert "threshold of the lowest AER on a dev split" in out
    assert "0.30 - 0.40" in out
    again = ae.score_links(gold, links, resamples=50)
    assert (again.auc, again.average_precision) == (1.0, found["average_precision"])


def test_the_command_judges_what_it_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options of reading hold for both: the first pairs, the order of sides, pairs without gold."""
    gold, links = files(tmp_path)
    (tmp_path / "swapped.jsonl").write_text(
        '{"links": [[0, 0], [1, 1], [0, 1]], "scores": [0.9, 0.8, 0.3]}\n{"links": [[0, 0]], "scores": [0.6]}\n' * 10
    )
    base = ["--gold-base", "0", "--hyp-base", "0", "--resamples", "0", "--scores", "--json", "--first", "10"]
    assert run("score", gold, links, *base) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["links"], one["scores"]["links"], one["scores"]["sentences"]) == (20, 20, 10)
    assert run("score", gold, str(tmp_path / "swapped.jsonl"), *base, "--hyp-order", "ts") == 0
    (other,) = json.loads(capsys.readouterr().out)
    assert other["scores"]["by_threshold"] == one["scores"]["by_threshold"]


def test_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, links = files(tmp_path)
    base = ["--gold-base", "0", "--hyp-base", "0"]
    (tmp_path / "bad.jsonl").write_text('{"links": [[0, 0]], "scores": [1.25]}\n' * 20)
    assert run("score", gold, str(tmp_path / "bad.jsonl"), "--scores", *base) == 1
    assert "bad.jsonl: 20 of 20 scores are not between 0 and 1; the first is 1.25" in capsys.readouterr().err
    assert run("score", gold, gold, "--scores", *base) == 1
    assert "have no scores" in capsys.readouterr().err
    assert run("score", gold, links, "--scores", "--nulls", "count", *base) == 1
    assert "null links have no scores" in capsys.readouterr().err
    assert run("score", gold, links, "--scores-figure", "x.bmp", *base) == 2
    assert "x.bmp" in capsys.readouterr().err
