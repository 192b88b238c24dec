"""Pictures of a whole test set: which files, resumed, in parallel, and of links from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from align_eval.corpora import load_testset, write_links
from align_eval.errors import InputError, LengthMismatchError
from align_eval.links import Links
from align_eval.links.table import LinkTable
from align_eval.runs import pair_figures
from align_eval.runs.pair_figures import AlignedSet, draw_pairs, read_set


@pytest.fixture(scope="module")
def aligned() -> AlignedSet:
    testset = load_testset("mini-ende")
    links = LinkTable.from_links([Links([(0, 0)]) for _ in testset.pairs])
    return AlignedSet(testset, "mini-ende.argmax.layer7", "argmax layer 7", links, 7)


def test_one_file_a_pair(aligned: AlignedSet, tmp_path: Path) -> None:
    told: list[int] = []
    files = draw_pairs(aligned, tmp_path / "out", numbers=[3, 1], progress=told.append)
    assert [f.name for f in files] == ["0003.png", "0001.png"]
    assert told == [1, 1]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0001.png", "0003.png", "figures.json"]


def test_what_is_there_is_not_drawn_again(aligned: AlignedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_pairs(aligned, tmp_path, numbers=[1])
    drawn: list[str] = []
    draw = pair_figures.draw

    def watched(*job: Any) -> list[str]:
        drawn.append(Path(job[-1]).name)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return draw(*job)

    monkeypatch.setattr(pair_figures, "draw", watched)
    with pytest.raises(KeyboardInterrupt):
        draw_pairs(aligned, tmp_path, numbers=[1, 2, 3])
    assert drawn == ["0002.png", "0003.png"]
    draw_pairs(aligned, tmp_path, numbers=[1, 2, 3])
    assert drawn[2:] == ["0003.png"]
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["0001.png", "0002.png", "0003.png"]
    draw_pairs(aligned, tmp_path, numbers=[1], restart=True)
    assert drawn[3:] == ["0001.png"]


def test_other_settings_do_not_mix(aligned: AlignedSet, tmp_path: Path) -> None:
    def fails(pair: object) -> None:
        raise ValueError("no map")

    with pytest.raises(ValueError, match="no map"):  # it draws nothing, so it blocks nothing
        draw_pairs(aligned, tmp_path, numbers=[1], strength=fails)  # type: ignore[arg-type]
    draw_pairs(aligned, tmp_path, numbers=[1])
    strength = {"strength": lambda pair: np.ones((len(pair.source), len(pair.target)))}
    with pytest.raises(InputError, match=r"other settings stands there \(different: strength\)"):
        draw_pairs(aligned, tmp_path, numbers=[1], **strength)
    draw_pairs(aligned, tmp_path, numbers=[1], restart=True, **strength)
    assert json.loads((tmp_path / "figures.json").read_text())["strength"] == "similarity"


def test_processes_draw_the_same_files(aligned: AlignedSet, tmp_path: Path) -> None:
    draw_pairs(aligned, tmp_path / "one", numbers=[1, 2])
    draw_pairs(aligned, tmp_path / "two", numbers=[1, 2], jobs=2)
    for name in ("0001.png", "0002.png", "figures.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_links_of_a_file(aligned: AlignedSet, tmp_path: Path) -> None:
    write_links(tmp_path / "mine:1.talp", aligned.links, format="pharaoh", base=0)
    found = read_set(aligned.testset, tmp_path / "mine:1.talp")
    assert (found.name, found.title, found.layer) == ("mine-1", "mine:1.talp", None)
    assert len(found.links) == len(found.testset.pairs)
    (tmp_path / "short.talp").write_text("0-0\n")
    with pytest.raises(LengthMismatchError, match="40"):
        read_set(aligned.testset, tmp_path / "short.talp")


def test_errors(aligned: AlignedSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no pair 41"):
        draw_pairs(aligned, tmp_path, numbers=[41])
    with pytest.raises(InputError, match="not written as 'gif'"):
        draw_pairs(aligned, tmp_path, format="gif")
    with pytest.raises(InputError, match="0 processes"):
        draw_pairs(aligned, tmp_path, jobs=0)


def test_heads_of_one_method_are_systems_of_their_own(tmp_path: Path) -> None:
    """The links of two attention heads go into two files, and their figures into two folders."""
    from align_eval.aligners import System
    from align_eval.runs.evaluate import evaluate_testset
    from align_eval.runs.pair_figures import align_set
    from align_eval.runs.results import write_evaluations
    from tests.runs.stub import Stub

    class Heads(Stub):
        def __init__(self) -> None:
            super().__init__()
            self.systems = [System("reverse", None, head, "awi") for head in ("L1H1", "L2H1")]

    testset = load_testset("mini-ende")
    write_evaluations(evaluate_testset(testset, Heads(), resamples=0), tmp_path)
    names = ["mini-ende.reverse.L1H1.awi", "mini-ende.reverse.L2H1.awi"]
    assert [path.stem for path in sorted((tmp_path / "links").glob("*.talp"))] == names
    assert [one.name for one in align_set(testset, Heads())] == names
