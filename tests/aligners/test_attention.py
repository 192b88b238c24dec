"""Links from attention heads of models of every family, in one direction and in both; pairs over the window."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import align_eval as ae
from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.aligners.heads import AttentionSettings, Head, parse_head, parse_symmetrization
from align_eval.attribution.collect import word_matrices
from align_eval.attribution.similarity import owners, window_spans
from align_eval.cli import main
from align_eval.corpora import SentencePair, load_testset
from align_eval.errors import AlignEvalWarning, InputError, SentenceTooLongError, UnknownNameError
from align_eval.models import load_model
from tests.models import families
from tests.runs.links_of_head import attention_links

PAIRS = [
    SentencePair("1", ("das", "kleine", "Haus"), ("the", "small", "house")),
    SentencePair("2", ("das", "Haus", "steht"), ("the", "house", "stands", "here")),
    SentencePair("3", (), ("nothing",)),
    SentencePair("4", ("Haus",), ("",)),
]
LONG = SentencePair("long", ("das", "kleine", "Haus", "steht") * 30, ("the", "small", "house", "stands") * 35)
MODES = {"seq2seq": ("awo", "awi"), "decoder": ("awo", "awi"), "encoder": ("both", "src2tgt", "tgt2src")}

build = functools.cache(families.build)


def aligner(model: Any, asked: AttentionSettings, **options: Any) -> Any:
    languages = {"source_language": "de", "target_language": "en"}
    return make_aligner(AlignerSettings(model, ("reverse",), attention=asked, **languages, **options))


def links(made: Any, pairs: Any) -> Any:
    (found,) = made.align_all(pairs).values()
    return found


@pytest.mark.parametrize("kind", ["bert", "m2m_100", "t5", "gpt2"])
def test_links_are_the_best_of_each_row_of_the_score_matrix(kind: str) -> None:
    model = build(kind)
    for mode in MODES[model.family]:
        made = aligner(model, AttentionSettings(Head(2, 1), mode))
        found = links(made, PAIRS)
        reading = {"both": "block", "src2tgt": "block-st", "tgt2src": "block-ts"}.get(mode, mode)
        for batch in word_matrices(made.reader, PAIRS, [2], [1], reading):
            for b, k in enumerate(batch.indices):
                m, n = batch.source.lengths[b], batch.target.lengths[b]
                values = batch.values[0, b, :m, :n].numpy()
                best = {(int(values[:, j].argmax()), j) for j in range(n)}
                assert set(found[k]) == best
                assert found[k].scores.tolist() == pytest.approx([values[i, j] for i, j in found[k]])
        assert [len(one) for one in found[2:]] == [0, 0]
        assert made.signature(made.systems[0])["signal"] == f"attention-{mode}"


@pytest.mark.parametrize("kind", ["bert", "m2m_100", "gpt2"])
def test_pairs_over_the_window(kind: str) -> None:
    model = build(kind)
    asked = AttentionSettings(Head(1, 1))
    whole = links(aligner(model, asked), PAIRS[:2])
    pairs = [PAIRS[0], LONG, PAIRS[1]]
    for rule, kept, counted in (("window", len(LONG.target), "windowed"), ("leave", 0, "left_out")):
        made = aligner(model, asked, on_long=rule)
        found = links(made, pairs)
        assert [found[0], found[2]] == whole
        assert len(found[1]) == kept
        assert {j for _, j in found[1]} == set(range(kept))
        assert dict(made.take_long()) == {counted: 1}
        assert not made.take_long()
    with pytest.raises(SentenceTooLongError, match="pair long"):
        links(aligner(model, asked, on_long="raise"), pairs)


@given(st.integers(1, 200), st.integers(2, 12))
def test_windows_cover_all_words_and_each_word_has_one(length: int, count: int) -> None:
    spans = window_spans(length, count)
    assert len(spans) == count
    assert {k for a, b in spans for k in range(a, b)} == set(range(length))
    owner = owners(length, spans)
    assert all(spans[k][0] <= word < spans[k][1] for word, k in enumerate(owner))
    assert (np.diff(owner) >= 0).all() or length < count


def test_a_reduced_precision_is_of_hidden_states_alone() -> None:
    reduced = copy.copy(build("bert"))
    reduced.precision = "int16"
    for model, options in ((reduced, {}), ("offline:e5-small", {"precision": "int16"})):
        with pytest.raises(InputError, match="precision"):
            make_aligner(AlignerSettings(model, ("reverse",), options=options, attention=AttentionSettings(Head(1, 1))))


def test_a_model_of_one_direction_has_no_other() -> None:
    asked = AttentionSettings(Head(1, 1), symmetrize=("grow-diag", "both"))
    with pytest.raises(InputError, match="both directions need both languages"):
        make_aligner(AlignerSettings(build("m2m_100", source_language=None, target_language=None), attention=asked))
    with pytest.raises(InputError, match="loaded for one direction, into"):
        aligner(build("m2m_100"), asked)


def test_names() -> None:
    assert [str(parse_head(text)) for text in ("L2H1", "l12", "LmeanHmean", "L3Hmax")] == [
        "L2H1", "L12Hmean", "LmeanHmean", "L3Hmax",
    ]  # fmt: skip
    assert parse_symmetrization("grow-diag:either") == ("grow-diag", "either")
    for wrong in ("", "2.1", "L0H1", "L1H0", "H1", "auto", "L1H1H1"):
        with pytest.raises(InputError, match="names no attention head"):
            parse_head(wrong)
    for wrong in ("grow", "grow-diag:non"):
        if wrong != "grow":
            with pytest.raises(UnknownNameError):
                parse_symmetrization(wrong)


def run(*arguments: object) -> int:
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def deen() -> Any:
    return load_model("offline:tiny-deen")


@pytest.fixture
def text(tmp_path: Path, deen: Any, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    from align_eval import models

    monkeypatch.setattr(models, "load_model", lambda name, **options: deen)
    testset = load_testset("mini-ende")
    sides = tmp_path / "de", tmp_path / "en"
    for path, column in zip(sides, ("target", "source"), strict=True):
        path.write_text("".join(" ".join(getattr(p, column)) + "\n" for p in testset.pairs), "utf-8")
    return ["--source", sides[0], "--target", sides[1], "--model", "offline:tiny-deen"]


@pytest.mark.model
def test_any_text_is_aligned_by_a_head(text: list[object], deen: Any, tmp_path: Path, capsys: Any) -> None:
    testset = load_testset("mini-ende").reverse()
    out = tmp_path / "out.talp"
    languages = ["--source-language", "de", "--target-language", "en"]
    common = ["align", *text, *languages, "-o", out]
    known: dict[str, Any] = {"languages": ("de", "en")}
    for words, options in (
        (["--attention", "L2H1", "--mode", "awi"], {"view": (2, 1, "awi")}),
        (["--attention", "L3", "-x", "itermax"], {"view": (3, "mean", "awi"), "method": "itermax"}),
        (["--attention", "L2H1", "--symmetrize", "grow-diag:either", "--format", "jsonl"],
         {"view": (2, 1, "awi"), "symmetrize": ("grow-diag", "either")}),
    ):  # fmt: skip
        assert run(*common, *words) == 0
        expected = attention_links(testset.pairs, deen, **{**known, **options})
        assert ae.read_links(out, base=0) == expected
        meta = json.loads(Path(f"{out}.meta.json").read_text("utf-8"))["signature"]
        assert meta["layer"] == str(options["view"][0])
        out.unlink()
    assert meta["sym"] == "grow-diag/either"
    capsys.readouterr()
    assert run(*common, "--attention", "auto", "--symmetrize", "intersection") == 0
    said = capsys.readouterr().err
    assert "head L2H1, mode awi: the best of 54 heads and modes on mini-ende:reverse" in said
    meta = json.loads(Path(f"{out}.meta.json").read_text("utf-8"))["signature"]
    assert (meta["selection"], meta["head"], meta["sym"]) == ("best/mini-ende", "1", "intersection/both")
    assert run("align", *text, *languages) == 0, "states of the encoder"
    assert capsys.readouterr().out.count("\n") == 40


@pytest.mark.model
@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["--mode", "awi"], 1, "Name a head: --attention L6H1"),
        (["--attention", "L2H1", "--choose-on", "mini-ende"], 1, "goes with --attention auto"),
        (["--attention", "L2H1", "--mode", "both"], 1, "Choose --mode awo or awi"),
        (["--attention", "L2H1", "--mode", "x"], 1, "unknown alignment mode"),
        (["--attention", "2.1"], 1, "Write L6H1"),
        (["--attention", "L2H9"], 1, "no attention head 9"),
        (["--attention", "L2H1", "--layer", "2"], 1, "Leave out the layers (--layer)"),
        (["--attention", "L2H1", "-x", "softmax"], 1, "dot products of hidden states"),
        (["--attention", "L2H1", "--symmetrize", "grow-dig"], 1, "grow-diag"),
        (["--attention", "L2H1", "--symmetrize", "union"], 1, "Give --source-language and --target-language"),
        (["--attention", "auto"], 1, "Name one with --choose-on TESTSET"),
        (["-x", "simalign:itermax"], 1, "Use the method without simalign: in front"),
    ],
)
def test_what_does_not_go_together(given: list[str], code: int, said: str, text: list[object], capsys: Any) -> None:
    assert run("align", *text, *given) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err.replace("\n", " ")


@pytest.mark.model
def test_own_data_is_scored_with_any_family(text: list[object], deen: Any, tmp_path: Path, capsys: Any) -> None:
    testset = load_testset("mini-ende").reverse()
    gold = tmp_path / "gold.talp"
    ae.write_links(gold, testset.gold, format="pharaoh", base=0)
    own = ["evaluate", *text, "--gold", gold, "--gold-base", 0, "--resamples", 0, "--json"]
    languages = ["--source-language", "de", "--target-language", "en"]
    assert run(*own, *languages, "--attention", "L2H1", "-o", tmp_path / "r") == 0
    (row,) = json.loads(capsys.readouterr().out)
    (same,) = ae.evaluate(testset, deen, attention="L2H1", resamples=0)
    assert (row["head"], row["mode"], row["layer"]) == ("L2H1", "awi", None)
    assert row["aer"] == pytest.approx(same.score.aer)
    assert [p.name for p in (tmp_path / "r" / "links").iterdir()] == ["de.reverse.L2H1.awi.talp"]
    assert ae.align(testset, deen, attention="L2H1") == same.links
    assert run(*own, "--layers", "1,3") == 0, "states of the encoder"
    assert [r["layer"] for r in json.loads(capsys.readouterr().out)] == [1, 3]
    assert run("evaluate", "mini-ende", "--model", "offline:tiny-deen", "--attention", "auto") == 1
    assert "--choose-on" in capsys.readouterr().err
    assert run("evaluate", *text) == 1
    assert "--gold FILE" in capsys.readouterr().err


def test_python_says_what_is_left_out() -> None:
    pairs = [PAIRS[0], LONG]
    with pytest.warns(AlignEvalWarning, match="1 of 2 pairs are longer"):
        found = ae.align(pairs, build("m2m_100"), attention="L1H1", on_long="leave")
    assert [len(one) for one in found] == [3, 0]
    with pytest.raises(InputError, match="Name a head"):
        ae.align(pairs, build("m2m_100"), mode="awi")
