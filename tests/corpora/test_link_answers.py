"""Answers of language models in words: what is taken, and what is counted and told because it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from align_eval.corpora import Corpus, SentencePair, read_links, write_links
from align_eval.corpora.linkio import read_links_report
from align_eval.errors import InputError, LengthMismatchError
from align_eval.links import Links
from align_eval.links.table import LinkTable

TEXT = Corpus.from_texts(["the house and the garden", "yes"], ["das Haus und der Garten", "ja"])
YES = '[["yes", "ja"]]\n'


def put(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    "answer",
    [
        '[["the_1", "das"], ["house", "Haus"], ["the_2", "der"]]',
        '{"the1": "das", "house": ["Haus"], "the2": "der"}',
        '[{"source": "the(1)", "target": "das"}, {"source": "house", "target": "Haus"}, '
        '{"source": "the [2]", "target": "der"}]',
        '{"id": "1", "alignment": [["the₁", "das"], ["house", "Haus"], ["the₂", "der"]]}',
        'Here it is: ```json [["the#1", "das"], ["house", "Haus"], ["the#2", "der"]]``` I hope this helps.',
        json.dumps({"response": '[["the-1", "das"], ["house", "Haus"], ["the@2", "der"]]', "tokens": 12}),
    ],
)  # fmt: skip
def test_word_pairs(tmp_path: Path, answer: str) -> None:
    second = '{"id": "2", "alignment": [["yes", "ja"]]}\n' if '"id"' in answer else YES
    path = put(tmp_path / "f", f"{answer}\n{second}")
    table, report = read_links_report(path, bitext=TEXT)
    assert (report.format, report.notes) == ("answers", [])
    assert [str(x) for x in table] == ["0-0 1-1 3-3", "0-0"]
    with pytest.raises(InputError, match="only together with the sentences") as caught:
        read_links(path)
    assert "--bitext" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("answer", "links", "note"),
    [
        ("I cannot align these.", "", r"1 of 2 answers hold no word pairs .*first: line 1"),
        ("", "", r"1 of 2 answers hold no word pairs"),
        ('[["house", "Haus"', "", r"1 of 2 answers hold no word pairs"),
        ('[["house", "Haus", "x"]]', "", r"1 of 2 answers hold no word pairs"),
        ('[["house", "Haus"], ["tree", "Baum"]]', "1-1", r"1 word pairs with a word that its sentence has not.*'tree'"),
        (
            '[["the_3", "das"], ["house", "Haus"]]',
            "1-1",
            r"a word that its sentence has not.*'the_3'",
        ),
        (
            '[["the", "das"], ["house", "Haus"]]',
            "1-1",
            r"1 word pairs with a word .* more than once",
        ),
        ('[["House", "Haus"], ["and", "und"]]', "2-2", r"'House' in line 1"),
    ],
)
def test_nothing_is_guessed(tmp_path: Path, answer: str, links: str, note: str) -> None:
    path = put(tmp_path / "f", f"{answer}\n{YES}")
    table, report = read_links_report(path, format="answers", bitext=TEXT)
    assert [str(x) for x in table] == [links, "0-0"]
    assert len(report.notes) == 1
    with pytest.warns(match=note):
        read_links(path, bitext=TEXT)


def test_words_joined_with_nothing_are_null_links(tmp_path: Path) -> None:
    path = put(tmp_path / "f", '[["house", "Haus"], ["and", null], ["", "der"], ["garden", "NULL"]]\n' + YES)
    table, report = read_links_report(path, bitext=TEXT)
    assert (str(table[0]), report.nulls) == ("1-1", 3)


def test_answers_are_matched_by_id_or_by_number_of_lines(tmp_path: Path) -> None:
    rows = '{"id": 2, "pairs": [["yes", "ja"]]}\n{"id": 1, "pairs": [["house", "Haus"]]}\n'
    assert [str(x) for x in read_links(put(tmp_path / "f", rows), bitext=TEXT)] == ["1-1", "0-0"]
    array = '[{"id": 1, "pairs": [["house", "Haus"]]},\n {"id": 2, "pairs": {"yes": "ja"}}]\n'
    assert [str(x) for x in read_links(put(tmp_path / "f", array), bitext=TEXT)] == ["1-1", "0-0"]
    for array in ('[[["house", "Haus"]], [["yes", "ja"]]]', '[\n {"x": {"house": "Haus"}},\n {"x": {"yes": "ja"}}\n]'):
        assert [str(x) for x in read_links(put(tmp_path / "f", array), bitext=TEXT)] == ["1-1", "0-0"]
    with pytest.raises(LengthMismatchError, match="1 answers but 2 sentence pairs"):
        read_links(put(tmp_path / "f", YES), bitext=TEXT)


SIDE = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=5)


@given(
    sides=st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=4), data=st.data(), order=st.sampled_from(["st", "ts"])
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(tmp_path: Path, sides: list[tuple[list[str], list[str]]], data: st.DataObject, order: str) -> None:
    pairs = [SentencePair(str(k), tuple(a), tuple(b)) for k, (a, b) in enumerate(sides, 1)]
    cells = [[(i, j) for i in range(len(a)) for j in range(len(b))] for a, b in sides]
    links = [Links(data.draw(st.lists(st.sampled_from(c)))) if c else Links() for c in cells]
    table = LinkTable.from_links(links)
    write_links(tmp_path / "f", table, format="answers", bitext=pairs, order=order)
    back, report = read_links_report(tmp_path / "f", format="answers", bitext=pairs, order=order)
    assert back == table
    assert not report.notes


@pytest.mark.parametrize(
    "text",
    [
        '{"source": "a", "target": "b"}\n',
        '{"sure": "0-0"}\n',
        '{"links": null}\n',
        '{"links": "0-0", "id": "x"}\n',
        '{"links": [], "source": "a b", "target": "c"}\n',
        "a\tx [y]\t0-0\n",
    ],
)
def test_other_files_are_no_answers(tmp_path: Path, text: str) -> None:
    from align_eval.corpora.inputs import Input
    from align_eval.corpora.link_formats._detect import detect

    assert detect(Input(put(tmp_path / "f", text))) in ("jsonl", "tsv")
