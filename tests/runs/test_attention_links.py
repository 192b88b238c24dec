"""Links of one view of a model's attention, and of both directions together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from align_eval.attribution.matrix import View
from align_eval.cli import main
from align_eval.corpora import load_testset, read_links
from align_eval.errors import InputError, UnknownNameError
from align_eval.links.symmetrization import symmetrize_table
from align_eval.models import load_model
from align_eval.runs.sweep import for_testset, sweep_testset
from align_eval.scoring import score
from tests.runs.links_of_head import attention_links

pytestmark = pytest.mark.model
VIEW = View(2, 1, "awi")


@pytest.fixture(scope="module")
def mini() -> Any:
    return load_testset("mini-ende")


@pytest.fixture(scope="module")
def deen() -> Any:
    return load_model("offline:tiny-deen")


def both_directions(testset: Any, model: Any, view: View, method: str) -> Any:
    languages = testset.source_language, testset.target_language
    return attention_links(testset.pairs, model, view, symmetrize=(method, "both"), languages=languages)


def test_links_are_those_that_the_sweep_counts(mini: Any, deen: Any) -> None:
    model = for_testset(deen, mini)
    told: list[int] = []
    table = attention_links(mini.pairs, model, VIEW, progress=told.append)
    found = sweep_testset(mini, model, layers=[2], modes=["awi"])
    assert sum(told) == len(mini)
    assert score(mini.gold, table, resamples=0).aer == pytest.approx(found.aer()[found.views.index(VIEW)])
    assert all(len({j for _, j in links}) == len(links) for links in table)  # one source word for each target word


def test_both_directions(mini: Any, deen: Any) -> None:
    there = attention_links(mini.pairs, for_testset(deen, mini), VIEW)
    turned = mini.reverse()
    back = attention_links(turned.pairs, for_testset(deen, turned), VIEW).reverse()
    for method in ("intersection", "grow-diag", "union"):
        assert both_directions(mini, deen, VIEW, method) == symmetrize_table(there, back, method)
    alone = [score(mini.gold, table, resamples=0) for table in (there, back)]
    together = score(mini.gold, both_directions(mini, deen, VIEW, "intersection"), resamples=0)
    assert together.precision > max(one.precision for one in alone)
    assert together.aer < min(one.aer for one in alone)


def test_what_is_not_there(mini: Any, deen: Any) -> None:
    with pytest.raises(UnknownNameError, match="symmetrisation method"):
        both_directions(mini, deen, VIEW, "grow-dig")
    with pytest.raises(InputError, match=r"loaded for one direction, into en"):
        both_directions(mini, load_model("offline:tiny-deen", target_language="en"), VIEW, "union")
    with pytest.raises(InputError, match="layer"):
        attention_links(mini.pairs, for_testset(deen, mini), View(9, 1, "awi"))


def test_the_command_writes_them(mini: Any, deen: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "both.talp"
    sweep = ["sweep", "mini-ende", "--model", "offline:tiny-deen", "--layers", "2", "--modes", "awi"]
    with pytest.raises(SystemExit) as stop:
        main([*sweep, "--links", str(path), "--both", "grow-diag"])
    assert not stop.value.code
    assert read_links(path, base=0) == both_directions(mini, deen, VIEW, "grow-diag")
    for wrong, said in (
        (["--both", "union"], "--links FILE"),
        (["--links", "x", "--select", "greedy"], "add best"),
        (["--links", "x", "--both", "union", "--target-language", "de"], "both directions"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([*sweep, *wrong])
        assert stop.value.code == 2
        assert said in capsys.readouterr().err
