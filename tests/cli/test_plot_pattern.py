"""``align-eval plot pattern``: figures and summaries by name, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from align_eval.cli import main


def run(*words: str) -> int:
    """The exit code."""
    try:
        main(["plot", "pattern", *words])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_json_is_the_summary_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--kind", "sink-window:sinks=2,window=8", "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found["quantity"].startswith("which query (row) attends to which key")
    assert found["strongest"] == []
    assert found["subject"] == {"mask": "sink-window:sinks=2,window=8", "n": 64}
    assert found["numbers"]["spec"] == "sink-window:sinks=2,window=8"
    assert found["numbers"]["explained"] == 1
    assert any("Sink columns" in line for line in found["findings"])


def test_figures_and_summaries_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = [str(tmp_path / "new" / f"p.{ending}") for ending in ("png", "svg", "pdf")]
    assert run("-k", "tree", "--noise", "0.05", *(w for o in outputs for w in ("-o", o))) == 0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["p.json", "p.md", "p.pdf", "p.png", "p.svg"]
    out, err = capsys.readouterr()
    assert out == (tmp_path / "new" / "p.md").read_text("utf-8")
    assert err.startswith("Written: ")
    found = json.loads((tmp_path / "new" / "p.json").read_text("utf-8"))
    assert found["numbers"]["kind"] == "tree"
    assert found["subject"] == {"mask": "tree", "n": 64, "flip rate": 0.05, "seed": 12345}
    assert found["numbers"]["causal"] is True, "noise stays where a causal mask can see"


def test_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--kinds") == 0
    out = capsys.readouterr().out
    assert "sink-window: Query i attends to key j" in out
    assert "    branching=4+3+2+1  children by depth" in out
    assert "    causal=yes" in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "either --kind or --model"),
        (("--kind", "causal", "--model", "x"), 2, "either --kind or --model"),
        (("--model", "x", "--layer", "1"), 2, "--model needs --text"),
        (("--model", "x", "--text", "a", "--layer", "1"), 2, "--best KIND"),
        (
            ("--model", "x", "--text", "a", "--best", "tree", "--mass", "0.9", "--weight", "0.1"),
            2,
            "--mass or --weight",
        ),
        (("--kind", "causal", "--noise", "2"), 2, "a share from 0 to 1"),
        (("--kind", "causal", "-o", "x.gif"), 2, "png, svg, pdf"),
        (("--kind", "casual"), 1, "Did you mean 'causal'"),
        (("--kind", "tree", "--n", "32"), 1, "does not fit 32 tokens"),
        (("--kind", "sink-window:sinks=0"), 1, "at least 1"),
    ],
)
def test_refusals(words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in " ".join(err.replace("│", " ").split())


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models by the name of their architecture, small ones with random weights."""
    from align_eval import models
    from tests.models import families

    def load(name: str, **options: Any) -> Any:
        return families.build(name)

    monkeypatch.setattr(models, "load_model", load)


def test_a_head_of_a_model(tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model", "llama", "--text", "the small house stands by the old river", "--n", "20")
    assert run(*words, "--layer", "2", "--head", "3", "--json", "-o", str(tmp_path / "head.svg")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["quantity"] == "self attention of one head, binarised: fewest keys that carry 90% of the weight"
    assert len(found["strongest"]) == 5
    assert {"layer", "head", "query", "key", "value"} <= set(found["strongest"][0])
    assert found["subject"]["sub-words read"].startswith("20 of ")
    assert found["numbers"]["causal"] is True
    assert run(*words, "--layer", "9", "--head", "1") == 1
    assert "llama has no layer 9" in capsys.readouterr().err
    assert run(*words, "--layer", "1", "--head", "9") == 1
    assert "no head 9" in capsys.readouterr().err


def test_cross_attention_is_drawn_without_a_kind(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model", "bart", "--text", "das kleine Haus", "--target", "the small house", "--json")
    assert run(*words, "--layer", "1", "--head", "1", "--weight", "0.05") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["quantity"] == "cross attention of one head, binarised: weight 0.05 or more"
    assert "kind" not in found["numbers"]
    assert "queries and" in found["findings"][0]
    assert run(*words, "--best", "full") == 1
    assert "kinds of masks are of square patterns" in capsys.readouterr().err
