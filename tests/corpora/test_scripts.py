"""Scripts without spaces between words: warned about, and tokenised by language or script."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from align_eval.corpora import read_bitext
from align_eval.corpora.words import script_of, tokenizer_for, unsplit
from align_eval.errors import AlignEvalWarning

TEXTS = {
    "zh": "今天天气很好。",
    "ja": "今日は天気がいいです。",
    "th": "วันนี้อากาศดีมาก",
    "lo": "ມື້ນີ້ອາກາດດີ",
    "my": "ဒီနေ့ရာသီဥတုကောင်းတယ်",
    "km": "ថ្ងៃនេះអាកាសធាតុល្អ",
}


@pytest.mark.parametrize("language", TEXTS)
def test_each_script_is_known(language: str) -> None:
    text = TEXTS[language]
    assert script_of(text) == language == unsplit((text,))
    assert unsplit(tuple(text)) is None
    assert tokenizer_for(None, [text, "a"]) == tokenizer_for(None, [text])


@pytest.mark.parametrize("words", [(), ("Haus",), ("你好",), ("Dampfschifffahrtsgesellschaft",), ("오늘날씨가좋다",)])
def test_words_are_words(words: tuple[str, ...]) -> None:
    assert unsplit(words) is None


@pytest.mark.parametrize(
    ("language", "name"),
    [("zh", "zh"), ("zh-CN", "zh"), ("zho_Hans", "zh"), ("ja", "ja-mecab"), ("jpn_Jpan", "ja-mecab"),
     ("th", "flores200"), ("de", "13a"), ("ko", "13a")],
)  # fmt: skip
def test_the_language_goes_before_the_script(language: str, name: str) -> None:
    assert tokenizer_for(language, [TEXTS["zh"]])[0] == name


@pytest.mark.parametrize("form", ["parallel", "tsv", "jsonl", "pipes"])
def test_unsplit_sentences_are_counted_once(tmp_path: Path, form: str) -> None:
    sides = [["ein Haus", TEXTS["zh"]], ["ja", "是 的"], ["gut", TEXTS["zh"]]]
    if form == "parallel":
        files = [tmp_path / "s", tmp_path / "t"]
        for k in (0, 1):
            files[k].write_text("".join(row[k] + "\n" for row in sides), "utf-8")
    else:
        row = {"tsv": "{}\t{}\n", "pipes": "{} ||| {}\n", "jsonl": '{{"source": "{}", "target": "{}"}}\n'}[form]
        files = [tmp_path / "f"]
        files[0].write_text("".join(row.format(*pair) for pair in sides), "utf-8")
    bitext = read_bitext(*files)
    with pytest.warns(AlignEvalWarning, match="2 of the first 3 target sentences are Chinese .*--tokenize zh") as found:
        assert len(list(bitext)) == 3
    assert len(found) == 1
    assert len(list(bitext)) == 3  # and no warning again
    assert str(files[-1]) in str(found[0].message)


def test_auto_goes_by_language_then_script(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(f"Hello, world! ||| {TEXTS['zh']}\n", "utf-8")
    with pytest.warns(AlignEvalWarning, match=r"source: 13a \(text with spaces\), target: zh \(Chinese text\)"):
        pair = read_bitext(tmp_path / "f", tokenize="auto")[0]
    assert (pair.source, len(pair.target)) == (("Hello", ",", "world", "!"), len(TEXTS["zh"]))
    with pytest.warns(AlignEvalWarning, match=r"target: 13a \(language de\)"):
        read_bitext(tmp_path / "f", tokenize=("whitespace", "auto"), languages=("en", "de"))
    with pytest.warns(AlignEvalWarning, match="source: zh .*, target: 13a"):
        turned = read_bitext(tmp_path / "f", tokenize="auto", order="ts")[0]
    assert turned.target == pair.source


def test_tokenised_text_is_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(f"a ||| {TEXTS['zh']}\n", "utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(read_bitext(tmp_path / "f", tokenize="whitespace"))
    assert len(caught) == 1
