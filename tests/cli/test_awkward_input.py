"""Every command on sentence pairs that are awkward: an empty side, a word without tokens, 600 words, one pair, no gold.

Each ends well, with as many results as pairs, or with one line on standard error; none with a traceback.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from align_eval import models
from align_eval.cli import main
from tests.models import families

pytestmark = pytest.mark.model

GOOD = ("das kleine Haus", "the small house", "0-0 1-1 2-2")
CASES = {
    "empty source": ("", "the house", ""),
    "empty target": ("das Haus", "", ""),
    "both empty": ("", "", ""),
    "a word without a token": ("das \x07 Haus", "the house", "0-0 2-1"),
    "no token": ("das Haus", "\u200b", ""),
    "600 words": (" ".join(["das Haus"] * 300), " ".join(["the house"] * 300), "0-0 1-1"),
}
ALONE = ("empty source", "no token")
ONE_WAY = ["--source-language", "de", "--target-language", "en"]
TEXT = ["--source", "S", "--target", "T"]
SCORED = [*TEXT, "--gold", "G", "--gold-base", "0"]
DEEN = ["--model", "offline:tiny-deen", *ONE_WAY]
LOADED: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are loaded once for all commands; ``tiny:bert`` and ``tiny:gpt2`` have random weights."""
    real = models.load_model

    def load(name: str, **options: Any) -> Any:
        key = json.dumps([name, {k: str(v) for k, v in options.items() if v is not None}], sort_keys=True)
        if key not in LOADED:
            tiny = name.startswith("tiny:")
            LOADED[key] = families.build(name.removeprefix("tiny:")) if tiny else real(name, **options)
        return LOADED[key]

    monkeypatch.setattr(models, "load_model", load)
    monkeypatch.setattr("align_eval.models.loading.load_model", load)


def run(*arguments: object) -> int:
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


COMMANDS: dict[str, list[str]] = {
    "align": ["align", *DEEN, *TEXT],
    "align mean": ["align", "-m", "tiny:bert", *TEXT, "--subword", "mean", "-x", "itermax", "--on-long", "leave"],
    "align decoder": ["align", "-m", "tiny:gpt2", *TEXT, "-x", "match"],
    "align jsonl": ["align", "-m", "tiny:bert", *TEXT, "--format", "jsonl", "-o", "O"],
    "align attention": ["align", *DEEN, *TEXT, "--attention", "L2", "--symmetrize", "grow-diag"],
    "align attention encoder": ["align", "-m", "tiny:bert", *TEXT, "--attention", "L1H1"],
    "align attention decoder": ["align", "-m", "tiny:gpt2", *TEXT, "--attention", "L1H1", "--on-long", "leave"],
    "evaluate": ["evaluate", "-m", "tiny:bert", *SCORED, "--resamples", "20", "--json"],
    "evaluate attention": ["evaluate", *DEEN, *SCORED, "--attention", "L2H1", "--resamples", "0", "--json"],
    "evaluate no gold": ["evaluate", *DEEN, *TEXT],
    "sweep": ["sweep", "-m", "tiny:bert", *SCORED, "--select", "best,greedy", "--json"],
    "explore": ["explore", "-m", "tiny:bert", "--bitext", "B", "-o", "O", "--json"],
    "explore decoder": ["explore", "-m", "tiny:gpt2", *SCORED, "-o", "O", "--json"],
    "infill": ["infill", "--bitext", "B", *ONE_WAY, "--layer", "1", "--head", "1", "--json"],
    "infill pair": ["infill", "--bitext", "B", *ONE_WAY, "--pair", "1", "--mask", "1", "--layer", "1"],
    "translate": ["translate", "S", "--target", "T", *DEEN, "--aligner", "none", "--beam", "1", "--on-long", "leave",
                  "--max-length", "4", "--resamples", "0", "--json"],
    "plot pairs": ["plot", "pairs", *SCORED, "-m", "tiny:bert", "--jobs", "1", "--only", "1-2", "-o", "F"],
    "score": ["score", "G", "G", *TEXT, "--gold-base", "0", "--hyp-base", "0", "--json"],
    "symmetrize": ["symmetrize", "G", "G", "--base", "0", "--reverse-order", "st", *TEXT],
    "convert": ["convert", "G", "O", "--base-in", "0", *TEXT],
}  # fmt: skip
NO_WINDOW = ("evaluate no gold", "infill pair", "plot pairs", "score", "symmetrize", "convert")


def words_of(words: list[str], folder: Path, pairs: list[tuple[str, str, str]]) -> list[str]:
    """The command line with files of these pairs."""
    folder.mkdir()
    files = {name: folder / name for name in "STGBOF"}
    for name, column in (("S", 0), ("T", 1), ("G", 2)):
        files[name].write_text("".join(pair[column] + "\n" for pair in pairs), "utf-8")
    files["B"].write_text("".join(f"{s} ||| {t}\n" for s, t, _ in pairs), "utf-8")
    return [str(files[word]) if word in files else word for word in words]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_pair_brings_a_command_down(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = COMMANDS[name]
    alone = [[CASES[case]] for case in ALONE]
    for number, pairs in enumerate([[GOOD, *CASES.values(), GOOD, GOOD], [GOOD], *alone]):
        code = run(*words_of(words, tmp_path / str(number), pairs))
        captured = capsys.readouterr()
        where = f"{pairs!s:.80}: {captured.err}"
        assert code in (0, 1), where
        assert "Traceback" not in captured.err, where
        if code:
            assert captured.out == "", where
            lines = captured.err.splitlines()
            assert lines[-1].startswith("align-eval: "), where
            assert len([line for line in lines if "left out" not in line]) == 1, where
        if words[0] == "align":
            written = (tmp_path / str(number) / "O").read_text("utf-8") if "O" in words else captured.out
            assert written.count("\n") == len(pairs), where
        if number == 0:
            assert bool(code) == (name == "evaluate no gold"), where
            if name not in NO_WINDOW:
                assert "longer than the model's window" in captured.err, where


@pytest.mark.parametrize("name", ["align attention encoder", "evaluate", "sweep", "explore", "infill", "translate"])
def test_pairs_over_the_window_are_refused_if_asked(name: str, tmp_path: Path, capsys: Any) -> None:
    pairs = [GOOD, CASES["600 words"], GOOD, GOOD]
    assert run(*words_of(COMMANDS[name], tmp_path / "x", pairs), "--on-long", "raise") == 1
    assert re.search(r"(pair|sentence) 2\b.* window", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("a b", "", "the target of the pair is empty"),
        ("", "a b", "the source of the pair is empty"),
        ("a b", "\u200b", "a side of the pair has no token in bert"),
        (" ", " ", "the source of the pair is empty"),
    ],
)
def test_a_pair_without_words_has_no_page(
    source: str, target: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.html"
    assert run("explore", "-m", "tiny:bert", "--source", source, "--target", target, "-o", out) == 1
    assert capsys.readouterr().err == f"align-eval: {said}. Give a source and a target that have words\n"
    assert not out.exists()
