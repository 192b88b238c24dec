"""Commands on a user's own data: the same numbers as on a named set, from one file or two, with gold or without."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from align_eval.cli import main
from align_eval.corpora import SentencePair, load_testset, write_bitext, write_links
from align_eval.links.table import LinkTable

KEPT = 6


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The same sentence pairs and gold links as files in several forms, as options of a command."""
    folder = tmp_path_factory.mktemp("own")
    pairs = load_testset("mini-ende").pairs[:KEPT]
    gold = LinkTable.from_links([pair.gold for pair in pairs if pair.gold is not None])
    bare = [SentencePair(p.id, p.source, p.target) for p in pairs]
    for side in ("source", "target"):
        (folder / side).write_text("".join(f"{getattr(p, f'{side}_text')}\n" for p in pairs), "utf-8")
    write_links(str(folder / "gold.talp"), gold, base=1)
    write_links(str(folder / "gold.naacl"), gold, format="naacl")
    write_bitext(str(folder / "pairs.txt"), bare, format="pipes")
    write_bitext(str(folder / "all.jsonl"), pairs, format="jsonl")
    at = folder / "source", folder / "target", folder / "gold.talp", folder / "gold.naacl", folder / "pairs.txt"
    files = [str(path) for path in at]
    return {
        "parallel": ["--source", files[0], "--target", files[1], "--gold", files[2], "--gold-base", "1"],
        "pipes": ["--bitext", files[4], "--gold", files[3], "--gold-format", "naacl"],
        "jsonl": ["--bitext", str(folder / "all.jsonl")],
        "without gold": ["--bitext", files[4]],
    }


LANGUAGES = ("--source-language", "en", "--target-language", "de")


def test_sweep(own: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for form in ("parallel", "jsonl"):
        assert run("sweep", *own[form], "--model", "offline:tiny-deen", *LANGUAGES, "--layers", "3", "--json") == 0
        rows = json.loads(capsys.readouterr().out)
        found.append([(row["layer"], row["head"], row["mode"], row["aer"]) for row in rows])
        assert rows[0]["sentences"] == KEPT
    assert found[0] == found[1]
    links = tmp_path / "links.talp"
    words = ("--layers", "3", "--links", links, "--both", "grow-diag")
    assert run("sweep", *own["jsonl"], "--model", "offline:tiny-deen", *LANGUAGES, *words) == 0
    assert run("score", own["parallel"][5], links, "--gold-base", "1", "--hyp-base", "0", "--resamples", "0") == 0
    assert "|selection:best/0.167|" in (said := capsys.readouterr().out)
    assert "|sym:grow-diag/both|" in said
    assert run("sweep", *own["without gold"], "--model", "offline:tiny-deen", *LANGUAGES) == 1
    assert "has no gold links to score against. Give them: --gold FILE" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["parallel", "without gold"])
def test_explore(own: dict[str, list[str]], form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert run("explore", *own[form], "-m", "offline:tiny-deen", *LANGUAGES, "-o", page, "--limit", "2") == 0
    assert "2 entries" in capsys.readouterr().out
    assert bool(re.search(r'"sure":\s*[0-9]', page.read_text("utf-8"))) == (form != "without gold")


@pytest.mark.parametrize("form", ["pipes", "without gold"])
def test_plot_pairs(own: dict[str, list[str]], form: str, tmp_path: Path) -> None:
    assert run("plot", "pairs", *own[form], "-o", tmp_path, "--only", "2", "--jobs", "1") == 0
    (folder,) = tmp_path.iterdir()
    assert folder.name == "pairs.txt.refined"
    assert sorted(path.name for path in folder.iterdir()) == ["0002.png", "figures.json"]


@pytest.mark.parametrize("form", ["jsonl", "without gold"])
def test_infill(own: dict[str, list[str]], form: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--strategy", "content", "--resamples", "0", "--json", "--development", "0.5")
    assert run("infill", *own[form], "-m", "offline:tiny-deen-mask", *LANGUAGES, *words) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["direction"], row["links"]) == ("en-de", "none" if form == "without gold" else "gold")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("sweep", "mini-ende", "--bitext", "x"), "give one of TESTSET, --bitext, or --source with --target"),
        (("explore", "mini-ende", "--gold", "x"), "--gold does not go with the test set mini-ende"),
        (("plot", "pairs", "--source", "x", "-o", "y"), "--source and --target go together"),
        (("infill", "--mask", "1"), "give one of TESTSET"),
        (("infill", "--source", __file__, "--target", "b", "--mask", "1"), "give two files, or two sentences"),
        (("explore", "--text", "a", "--bitext", "x"), "--text goes without a test set"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing: Any = tmp_path / "nothing"
    for words in (("sweep", missing), ("explore", "--bitext", missing), ("plot", "pairs", missing, "-o", tmp_path)):
        assert run(*words) == 1
        assert "no such file" in capsys.readouterr().err


def test_links_of_own_data(own: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", *own["pipes"], "-o", tmp_path / "r", "--resamples", "0", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["testset"] == "pairs.txt"
    links = ("--links", tmp_path / "r" / "links" / "pairs.txt.refined.talp")
    assert run("explore", *own["pipes"], *links, "-o", tmp_path / "page.html") == 0
    assert f"{KEPT} entries" in capsys.readouterr().out
    assert run("plot", "pairs", *own["pipes"], *links, "--only", "1", "--jobs", "1", "-o", tmp_path / "drawn") == 0
    assert (tmp_path / "drawn" / "pairs.txt.refined" / "0001.png").is_file()
