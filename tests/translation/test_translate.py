"""Translating and judging a text: what is read, resumed, chosen and scored; on tiny models with random weights."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import align_eval as ae
from align_eval.corpora import Corpus, make_testset
from align_eval.corpora.words import load_detokenizer
from align_eval.errors import InputError, LengthMismatchError, MissingFileError, SentenceTooLongError, UnknownNameError
from align_eval.models.translation import Decoding, Translator
from align_eval.runs.parallel_text import open_text
from align_eval.runs.sweep import split, sweep_testset
from align_eval.translation.coverage import coverage, diagnose, diagnostic_aligner, word_tokenizers
from align_eval.translation.metrics import score_translations
from align_eval.translation.report import render, sentence_rows, to_json, write_folder
from align_eval.translation.translate import (
    AttentionChoice,
    TranslateSettings,
    forced_counts,
    read_hypotheses,
    score_forced,
    translate_and_score,
    translate_text,
)
from tests.models import families
from tests.runs.stub import Stub


@pytest.fixture(scope="module")
def text() -> Corpus:
    return open_text("mini-ende", reverse=True, limit=8)


@pytest.fixture(scope="module")
def model() -> Any:
    return families.build("marian", length=200)


def settings(**options: Any) -> TranslateSettings:
    given = {"decoding": Decoding(2, 10), "aligner": None, "resamples": 40, **options}
    return TranslateSettings(**given)


def bitext(folder: Path, **gold: Any) -> Path:
    rows = [
        {"source": ["das", "Haus"], "target": ["the", "house"]},
        {"source": ["ein", "Haus", "."], "target": ["a", "house", "."]},
        {"source": ["der", "Garten", "und", "das", "Haus"] * 8, "target": ["the", "garden"]},
    ]
    path = folder / "text.jsonl"
    path.write_text("".join(json.dumps({**row, **gold}) + "\n" for row in rows), "utf-8")
    return path


def test_a_test_set_knows_its_languages_and_gold(text: Corpus) -> None:
    assert (text.source_language, text.target_language, len(text)) == ("de", "en", 8)
    forward = open_text("mini-ende", limit=8)
    assert (forward.source_language, forward.target_language) == ("en", "de")
    assert forward.source_texts == text.target_texts
    assert text.gold == forward.gold.reverse()
    assert text.checksum == ae.load_testset("mini-ende").checksum
    assert open_text("mini-ende", target_language="deu_Latn", limit=1).target_language == "de"


def test_what_cannot_be_translated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"references of mini-ende are de, not en\. Give --reverse"):
        open_text("mini-ende", target_language="en")
    with pytest.raises(InputError, match=r"references of mini-ende are en, not de\. Leave --reverse out"):
        open_text("mini-ende", reverse=True, target_language="de")
    with pytest.raises(InputError, match=r"not fr\. Leave --target-language out"):
        open_text("mini-ende", target_language="fr")
    with pytest.raises(InputError, match="both de"):
        open_text(make_testset(bitext(tmp_path)), source_language="de_DE", target_language="deu_Latn")
    with pytest.raises(UnknownNameError, match="mini-ende"):
        open_text("mini-end")


def test_a_bitext_is_a_file_or_two(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("das Haus\nein Haus .\n", "utf-8")
    (tmp_path / "b").write_text("the house\na house .\n", "utf-8")
    two = open_text(make_testset(tmp_path / "a", target=tmp_path / "b"))
    assert two.source_texts == ("das Haus", "ein Haus .")
    assert two.table is None
    one = open_text(make_testset(bitext(tmp_path)), limit=2)
    assert (one.source_texts, one.target_texts) == (two.source_texts, two.target_texts)
    assert one.checksum != two.checksum, "of the whole data"


def test_words_become_text_as_asked(tmp_path: Path) -> None:
    path = bitext(tmp_path)
    moses = open_text(make_testset(path), source_language="de", target_language="en", detokenize="moses", limit=2)
    assert moses.source_texts == ("das Haus", "ein Haus.")
    assert moses.pairs[1].source == ("ein", "Haus", ".")
    with pytest.raises(InputError, match="needs the languages"):
        open_text(make_testset(path), detokenize="moses")
    with pytest.raises(UnknownNameError, match="moses"):
        load_detokenizer("mose", "de")


def test_the_view_is_chosen_on_one_part_and_scored_on_the_other(text: Corpus, model: Any) -> None:
    choice = AttentionChoice(development=0.25)
    forced = forced_counts(text, model, choice)
    assert len(forced.views) == 3 * 5 * 2  # layers, heads and their mean, readings
    other = forced_counts(text, model.with_languages(None, "de"), choice)
    found = score_forced([forced, other], choice, resamples=50, seed=3)
    development, rest = split(8, 0.25, 3)
    best = forced.best(development)
    assert found[0].view == forced.views[best]
    assert found[0].score.aer == pytest.approx(forced.aer(rest)[best])
    assert (found[0].chosen_on, found[0].score.sentences, found[0].views) == (2, 6, 30)
    assert found[0].tests == {}
    assert found[1].tests["randomisation"].difference["aer"] == pytest.approx(found[1].score.aer - found[0].score.aer)
    assert found[1].score.signature["ar"] == "50"
    with pytest.raises(InputError, match="leaves one part empty"):
        score_forced([forced], AttentionChoice(development=0.01))


def test_a_named_view_is_scored_on_all(text: Corpus, model: Any) -> None:
    choice = AttentionChoice(2, 1, "awi")
    (found,) = score_forced([forced_counts(text, model, choice)], choice, resamples=0)
    whole: Any = text
    sweep = sweep_testset(whole, model, layers=[2], heads=[1], modes=["awi"])
    assert found.score.aer == pytest.approx(float(sweep.aer()[0]))
    assert (found.chosen_on, found.score.sentences) == (0, 8)
    part = AttentionChoice(mode="awo", development=0.25)
    (chosen,) = score_forced([forced_counts(text, model, part)], part, resamples=0)
    assert chosen.view.reading == "awo"
    assert chosen.views == 15


def test_pairs_over_a_window_are_left_out_for_all_models(tmp_path: Path, model: Any) -> None:
    text = open_text(make_testset(bitext(tmp_path, sure=[[0, 0]])), source_language="de", target_language="en")
    assert text.gold is not None
    choice = AttentionChoice(1, 1, "awo")
    short = families.build("marian", length=60)
    with pytest.raises(SentenceTooLongError):
        forced_counts(text, short, choice)
    counts = [forced_counts(text, one, choice, leave_long=True) for one in (short, model)]
    assert [one.fits.tolist() for one in counts] == [[True, True, False], [True, True, True]]
    assert not counts[0].counts[:, 2].any()
    found = score_forced(counts, choice, resamples=0)
    assert [one.left_out for one in found] == [1, 1]
    assert [one.score.sentences for one in found] == [2, 2]
    assert np.array_equal(counts[0].counts[:, :2], forced_counts(text.part([0, 1]), short, choice).counts)


def test_an_interrupted_run_goes_on(text: Corpus, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align_eval.translation.translate.BLOCK", 3)
    translator = Translator(model, Decoding(2, 10))
    wanted = translate_text(text, translator)
    whole = tmp_path / "whole.jsonl"
    assert translate_text(text, translator, path=whole) == wanted
    real, calls = translator.translate, []

    def failing(texts: Any, ids: Any = None, *, progress: Any = None) -> Any:
        calls.append(len(texts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(texts, ids, progress=progress)

    monkeypatch.setattr(translator, "translate", failing)
    path = tmp_path / "cut.jsonl"
    with pytest.raises(KeyboardInterrupt):
        translate_text(text, translator, path=path)
    assert not path.exists()
    seen: list[int] = []
    assert translate_text(text, translator, path=path, progress=seen.append) == wanted
    assert calls == [3, 3, 3, 2]
    assert sum(seen) == 8
    assert path.read_bytes() == whole.read_bytes()
    assert translate_text(text, translator, path=path) == wanted
    assert len(calls) == 4, "a finished file is taken over"
    translate_text(text, translator, path=path, resume=False)
    assert len(calls) == 7
    other = Translator(model, Decoding(1, 10))
    assert translate_text(text, other, path=path) == translate_text(text, other)


def test_links_of_translations_are_counted(text: Corpus) -> None:
    outputs = [list(text.target_texts), ["a b.", *text.target_texts[1:]], [""] * 8]
    aligner = Stub()
    found = diagnose(text, outputs, aligner, ("none", "13a"), resamples=20)
    assert found[1].pairs[0].target == ("a", "b", ".")
    assert found[1].pairs[0].source == text.pairs[0].source
    for one in found:
        (links,) = aligner.align_all(one.pairs).values()
        assert one.coverage == coverage(one.pairs, links, resamples=20)
    assert found[2].coverage.uncovered_source == 100
    assert found[2].coverage.unsupported_target is None
    assert found[0].aligner == "model:stub|layer:7|method:stub"


def test_words_of_the_diagnostics(text: Corpus, tmp_path: Path) -> None:
    assert word_tokenizers(text, (None, None)) == ("none", "13a")
    raw = open_text(make_testset(bitext(tmp_path)), source_language="zh", target_language="en", limit=1)
    assert word_tokenizers(raw, (None, None)) == ("zh", "13a")
    assert word_tokenizers(raw, ("char", "none")) == ("char", "none")
    with pytest.raises(UnknownNameError, match="13a"):
        word_tokenizers(raw, ("13b", None))


def test_an_aligner_may_need_no_model() -> None:
    pytest.importorskip("thot")
    aligner = diagnostic_aligner("eflomal:sym=intersection")
    assert aligner.whole_corpus
    assert str(aligner.systems[0]) == "eflomal:sym=intersection"


def test_models_side_by_side(text: Corpus, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align_eval.translation.translate.diagnostic_aligner", lambda *given, **options: Stub())
    other = families.build("t5", source_prefix="translate German to English:")
    other.name = "t5"
    chosen = settings(aligner="stub", choice=AttentionChoice(1, 1, "awo"), tests=("randomisation", "bootstrap"))
    found = translate_and_score(text, [model, other], chosen, folder=tmp_path / "out")
    rows = json.loads(json.dumps([to_json(one) for one in found]))
    for one, row in zip(found, rows, strict=True):
        assert one.scores == score_translations(one.hypotheses, text.target_texts, resamples=40)
        assert [row[name] for name in ("bleu", "chrf", "ter")] == [round(s.score, 6) for s in one.scores.values()]
        assert set(row["ci"]) == {"bleu", "chrf", "ter", "aer", "uncovered_source", "unsupported_target"}
        assert set(row["signatures"]) == {"bleu", "chrf", "ter", "aer"}
        assert row["decoding"]["beam"] == 2
        assert row["detokenize"] == "none"
        assert 0 <= row["uncovered_source"] <= 100
        assert row["diagnostics"]["reference"]["source_words"] == row["diagnostics"]["source_words"]
        assert len(row["worst"]) == 5
    assert "against" not in rows[0]
    assert rows[1]["against"] == "marian"
    assert set(rows[1]["paired"]) == {"bleu", "chrf", "ter", "aer", "uncovered_source", "unsupported_target"}
    assert all(set(tests) == {"randomisation", "bootstrap"} for tests in rows[1]["paired"].values())
    shown = render(found)
    assert "Against marian, bootstrap" in shown
    assert "(reference)" in shown
    assert "tok:13a" in shown
    files = {path.name for path in write_folder(found, tmp_path / "out")}
    assert files == {"scores.json", "1.marian.txt", "1.marian.tsv", "2.t5.txt", "2.t5.tsv"}
    assert (tmp_path / "out" / "1.marian.txt").read_text("utf-8").split("\n")[:-1] == found[0].hypotheses
    table = sentence_rows(found[1])
    assert len(table) == 9
    assert {len(row) for row in table} == {11}


def test_a_model_of_one_direction(text: Corpus) -> None:
    model = families.build("marian")
    model.codes, model.tokenizer.supported_language_codes = {}, []
    model.tokenizer.source_lang, model.tokenizer.target_lang = "fr", "en"
    with pytest.raises(InputError, match=r"translates from fr, and the text is de\. Give --reverse"):
        translate_and_score(text, [model], settings())
    model.tokenizer.source_lang = "de"
    model.tokenizer.target_lang = "fr"
    with pytest.raises(InputError, match="translates into fr, not en"):
        translate_and_score(text, [model], settings())


def test_wrong_options_are_said_before_anything_is_translated(text: Corpus, model: Any) -> None:
    with pytest.raises(UnknownNameError, match="13a"):
        translate_and_score(text, [model], settings(bleu_tokenize="13b"))
    with pytest.raises(InputError, match="no model"):
        translate_and_score(text, [], settings())


def hypothesis_files(folder: Path) -> list[Path]:
    files = []
    for name, lines in (
        ("a.txt", ["the house", "a house .", "the garden and the house"]),
        ("b.txt", ["", "house", "x y z"]),
    ):
        files.append(folder / name)
        files[-1].write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return files


def test_translations_that_exist_are_judged_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align_eval.translation.translate.diagnostic_aligner", lambda *given, **options: Stub())
    text = open_text(make_testset(bitext(tmp_path), source_language="de", target_language="en"))
    files = hypothesis_files(tmp_path)
    given = read_hypotheses(files, len(text))
    found = translate_and_score(
        text, [], settings(aligner="stub", tests=("randomisation", "bootstrap")), hypotheses=given
    )
    assert [one.model for one in found] == ["a.txt", "b.txt"]
    assert found[0].attention is None
    assert found[0].scores["bleu"].score > found[1].scores["bleu"].score
    row = to_json(found[1])
    assert row["against"] == "a.txt"
    assert row["decoding"] == {"file": "b.txt", "sha256": given[1].sha256, "at_limit": 0, "left": 0, "in_pieces": 0,
                               "empty": 1}  # fmt: skip
    first, second = (one.diagnosis.coverage for one in found if one.diagnosis is not None)
    for name, share in (
        ("uncovered_source", second.uncovered_source),
        ("unsupported_target", second.unsupported_target),
    ):
        before = getattr(first, name)
        assert share is not None
        for test in ("randomisation", "bootstrap"):
            told = row["paired"][name][test]
            assert told["difference"] == pytest.approx(share - before, abs=1e-5)
            assert 0 < told["p_value"] <= 1
        assert (
            row["paired"][name]["bootstrap"]["ci"][0] <= told["difference"] <= row["paired"][name]["bootstrap"]["ci"][1]
        )
    table = render(found)
    assert "Δuncovered" in table
    assert "Δunsupported" in table
    write_folder(found, tmp_path / "out")
    assert (tmp_path / "out" / "2.b.txt.txt").read_text("utf-8") == "\nhouse\nx y z\n"


def test_translations_stand_beside_those_of_models(tmp_path: Path, model: Any) -> None:
    text = open_text(make_testset(bitext(tmp_path, sure=[[0, 0]]), source_language="de", target_language="en"), limit=2)
    given = read_hypotheses(hypothesis_files(tmp_path), 3, 2)
    found = translate_and_score(text, [model], settings(choice=AttentionChoice(1, 1, "awi")), hypotheses=given)
    assert [one.attention is None for one in found] == [False, True, True]
    assert found[2].against == found[0].model
    assert "a.txt" in render(found)


def test_files_that_are_no_translations_of_the_text(tmp_path: Path) -> None:
    files = hypothesis_files(tmp_path)
    with pytest.raises(LengthMismatchError, match=r"a\.txt: 3 translations but 4 sentence pairs"):
        read_hypotheses(files, 4)
    with pytest.raises(LengthMismatchError, match="3 translations but 2"):
        read_hypotheses(files[1:], 2)
    with pytest.raises(InputError, match="named twice"):
        read_hypotheses([files[0], files[0]], 3)
    with pytest.raises(InputError, match="not from standard input"):
        read_hypotheses(["-"], 3)
    with pytest.raises(MissingFileError):
        read_hypotheses([tmp_path / "c"], 3)
    with pytest.raises(InputError, match="--hypothesis FILE"):
        translate_and_score(open_text(make_testset(bitext(tmp_path))), [], settings())
    (tmp_path / "d").mkdir()
    twin = tmp_path / "d" / "a.txt"
    twin.write_bytes(files[0].read_bytes())
    assert [one.name for one in read_hypotheses([files[0], twin], 3)] == [str(files[0]), str(twin)]


def test_one_model_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = open_text(make_testset(bitext(tmp_path, sure=[[0, 0]]), source_language="de", target_language="en"), limit=2)
    alive: list[weakref.ref[Any]] = []

    def load(name: str, **options: Any) -> Any:
        gc.collect()
        assert [one() for one in alive if one() is not None] == [], "an earlier model is still there"
        made = families.build("marian", length=200)
        alive.extend((weakref.ref(made), weakref.ref(made.model)))
        return made

    monkeypatch.setattr("align_eval.translation.translate.load_translator", load)
    found = translate_and_score(
        text, ["a", "b", "c"], settings(choice=AttentionChoice(None, None, "awi", development=0.5))
    )
    gc.collect()
    assert len(found) == 3
    assert all(one.attention is not None for one in found)
    assert [one() for one in alive if one() is not None] == [], "and none is kept by the results"
