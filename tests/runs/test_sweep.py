"""The sweep over layers, heads and readings: counts against the slow way, selection on a part, the command."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import align_eval as ae
from align_eval.attribution.collect import attention_maps
from align_eval.cli import main
from align_eval.errors import InputError
from align_eval.extraction import make_extractor
from align_eval.links import Links
from align_eval.links.table import LinkTable
from align_eval.runs.sweep import split, sweep_testset
from align_eval.scoring.measures import counts

pytestmark = [pytest.mark.model, pytest.mark.xdist_group("e5")]


@pytest.fixture(scope="module")
def small() -> Any:
    """The first eight pairs of mini-ende as a test set."""
    whole = ae.load_testset("mini-ende")
    pairs = whole.pairs[:8]
    gold = LinkTable.from_links([p.gold for p in pairs if p.gold is not None])
    return SimpleNamespace(name="small", checksum="0" * 64, base=0, pairs=pairs, gold=gold)


def test_counts_equal_those_of_single_maps(e5: Any, small: Any) -> None:
    found = sweep_testset(small, e5, layers=[6], heads=[1, "mean"], modes=["tgt2src"])
    assert [(v.layer, v.head, v.reading) for v in found.views] == [(6, 1, "block-ts"), (6, "mean", "block-ts")]
    links = []
    for maps in attention_maps(e5, small.pairs, [6], [1], "block-ts"):
        words = maps.words().by_head()[0, 0]  # target words x source words
        extractor = make_extractor("forward")
        import torch

        cells = (
            extractor.masked(words[None], torch.ones_like(words[None], dtype=torch.bool)).links[0].nonzero().tolist()
        )
        links.append(Links([(i, j) for j, i in cells]))
    assert np.array_equal(found.counts[0], counts(small.gold, LinkTable.from_links(links)))


def test_selection_is_on_one_part_and_the_score_on_the_other(e5: Any, small: Any) -> None:
    found = sweep_testset(small, e5, layers=[5, 6], heads=["all"], modes=["both"])
    development, rest = split(8, 0.25, 1)
    assert len(development) == 2
    assert not set(development) & set(rest)
    best = found.best(development)
    assert found.aer(development)[best] == found.aer(development).min()
    score = found.score(best, rest, resamples=50)
    assert score.sentences == 6
    assert score.aer == pytest.approx(found.aer(rest)[best])
    assert score.signature["signal"] == "attention-block"
    assert score.signature["head"] == str(found.views[best].head)
    assert found.score(best).possible == small.gold.links
    for share in (0.0, 1.0, 0.01):
        with pytest.raises(InputError, match="empty"):
            split(8, share, 1)


def test_the_command(
    e5: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("align_eval.models.load_model", lambda name, **options: e5)
    main_ = ["sweep", "mini-ende", "--layers", "6", "--select", "all", "--json", "-o", str(tmp_path / "sweep")]
    with pytest.raises(SystemExit) as stop:
        main(main_)
    assert not stop.value.code
    rows = json.loads(capsys.readouterr().out)
    assert [row["selection"] for row in rows] == [None] * 3 * 13 + ["best", "greedy", "logistic"]
    rows, selected = rows[:-3], rows[-3:]
    assert {"layer", "head", "mode", "signal", "aer"} <= rows[0].keys()
    assert {row["mode"] for row in rows} == {"both", "src2tgt", "tgt2src"}
    best = min(rows, key=lambda row: row["aer"])
    assert (best["layer"], best["head"], best["mode"]) == (6, 1, "both")
    assert best["aer"] == pytest.approx(26.85, abs=1.0)
    assert (tmp_path / "sweep" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    for row in selected:
        assert {"layer", "head", "mode", "signal", "aer", "views", "ci"} <= row.keys()
        assert (row["part"], row["sentences"], row["development_sentences"]) == ("rest", 32, 8)
        assert f"|selection:{row['selection']}/0.2|" in row["signature"]
        assert row["ci"]["aer"][0] < row["aer"] < row["ci"]["aer"][1] < 60
    assert len(selected[0]["views"]) == 1
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text("utf-8"))["selection"] == selected
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "mini-ende", "--select", "gready"])
    assert stop.value.code == 1
    assert "unknown selection 'gready'. Did you mean 'greedy'" in capsys.readouterr().err
