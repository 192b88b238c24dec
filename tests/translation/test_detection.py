"""Labelled omissions and hallucinations: the form of HalOmi read, words without a link scored, planted faults found."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

import align_eval as ae
from align_eval.cli import main
from align_eval.errors import FormatError, InputError, LengthMismatchError, LinkRangeError
from align_eval.links import Links
from align_eval.translation.detection import detect
from align_eval.translation.labelled import read_labelled
from experiments.plant_omissions import COLUMNS, plant

ROW = {
    "src_lang": "deu_Latn", "tgt_lang": "eng_Latn", "src_text": "Der kleine Hund schläft heute.",
    "mt_text": "The dog sleeps in bed.", "omit_spans": "Der <<<kleine >>>Hund schläft <<<heu>>>te.",
    "hall_spans": "The dog sleeps <<<in bed>>>.", "class_hall": "2_Small_hallucination",
    "class_omit": "3_Partial_omission",
}  # fmt: skip
GOOD = {
    **ROW, "src_text": "Ja, na", "mt_text": 'Yes, "na"', "omit_spans": "Ja, na", "hall_spans": 'Yes, "na"',
    "class_hall": "1_No_hallucination", "class_omit": "1_No_omission",
}  # fmt: skip
LINKS = [
    Links([(0, 0), (2, 1), (3, 2), (4, 3), (5, 5)], [0.9, 0.8, 0.7, 0.4, 0.9]),
    Links([(0, 0), (2, 3)], [0.9, 0.6]),
]


def write(path: Path, *rows: dict[str, str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), "utf-8")
    return str(path)


def test_a_word_is_marked_if_a_character_is(tmp_path: Path) -> None:
    found = read_labelled(write(tmp_path / "f.tsv", ROW, GOOD))
    one, two = found.pairs
    assert one.pair.source == ("Der", "kleine", "Hund", "schläft", "heute", ".")
    assert one.omitted == (False, True, False, False, True, False)
    assert one.made_up == (False, False, False, True, True, False)
    assert (one.omission, one.hallucination, one.direction) == (3, 2, "deu_Latn-eng_Latn")
    assert two.pair.target == ("Yes", ",", '"', "na", '"')  # "na" is a word, and quotes are the text's
    assert (found.perturbed, found.unmatched) == (0, 0)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    rows = [{**ROW, "perturbation": "natural"}, {**ROW, "perturbation": "perturbed"},
            {**ROW, "perturbation": "natural", "mt_text": "another"}]  # fmt: skip
    found = read_labelled(write(tmp_path / "f.tsv", *rows))
    assert (len(found.pairs), found.perturbed, found.unmatched) == (1, 1, 1)
    assert len(read_labelled(write(tmp_path / "f.tsv", *rows), perturbed=True).pairs) == 2


def test_by_hand(tmp_path: Path) -> None:
    """Omission: of 7 source words (no marks) 'kleine' and 'heute' are labelled, 'kleine' has no link; 'heute' is linked
    less surely than all others. Hallucination: 'in' is linked at 0.4, 'bed' is not."""
    pairs = read_labelled(write(tmp_path / "f.tsv", ROW, GOOD)).pairs
    omission, made_up = detect(pairs, LINKS, resamples=0)
    assert (omission.pairs, omission.faulty, omission.words, omission.marked) == (2, 1, 7, 2)
    assert (omission.unlinked, omission.found, omission.precision, omission.recall) == (1, 1, 100.0, 50.0)
    assert (omission.auc, omission.sentence_auc) == (1.0, 1.0)
    assert (made_up.words, made_up.marked, made_up.unlinked, made_up.found) == (7, 2, 1, 1)
    assert (made_up.auc, made_up.recall) == (1.0, 50.0)
    plain = [Links(links.pairs) for links in LINKS]
    assert detect(pairs, plain, resamples=0)[0].auc == pytest.approx((5 + 2.5) / 10)  # 'heute' ties with all others


def test_punctuation_is_asked_for(tmp_path: Path) -> None:
    pairs = read_labelled(write(tmp_path / "f.tsv", ROW, GOOD)).pairs
    assert detect(pairs, LINKS, punctuation=True, resamples=0)[1].words == 11


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"omit_spans": "Der <<<kleine Hund"}, "2: <<< without >>>"),
        ({"omit_spans": "Der kleine>>> Hund"}, ">>> without <<<"),
        ({"omit_spans": "<<<Der <<<kleine>>> Hund>>>"}, "<<< within a mark"),
        ({"class_hall": "none"}, "the class 'none' is no degree"),
    ],
)
def test_refused(tmp_path: Path, change: dict[str, str], said: str) -> None:
    with pytest.raises(FormatError, match=said):
        read_labelled(write(tmp_path / "f.tsv", {**ROW, **change}))


def test_other_files_refused(tmp_path: Path) -> None:
    row: dict[str, Any] = {key: value for key, value in ROW.items() if key != "class_omit"}
    with pytest.raises(FormatError, match="no column class_omit"):
        read_labelled(write(tmp_path / "f.tsv", row))
    path = write(tmp_path / "f.tsv", ROW)
    Path(path).write_text(Path(path).read_text("utf-8") + "a\tb\n", "utf-8")
    with pytest.raises(FormatError, match=r"f\.tsv:3: 2 cells, but 8 columns"):
        read_labelled(path)
    with pytest.raises(InputError, match="no labelled translation is left"):
        read_labelled(write(tmp_path / "f.tsv", {**ROW, "perturbation": "perturbed"}))
    escaped = {**ROW, "src_text": "a &quot; b", "omit_spans": "a &quot; b"}
    with pytest.raises(InputError, match="which does not come next in the text"):
        read_labelled(write(tmp_path / "f.tsv", escaped))
    assert read_labelled(write(tmp_path / "f.tsv", escaped), ("whitespace", None)).pairs


def test_links_of_other_pairs_refused(tmp_path: Path) -> None:
    pairs = read_labelled(write(tmp_path / "f.tsv", ROW, GOOD)).pairs
    with pytest.raises(LengthMismatchError):
        detect(pairs, LINKS[:1])
    with pytest.raises(LinkRangeError):
        detect(pairs, LINKS[::-1])


def test_planted_faults_are_found_by_the_offline_model(tmp_path: Path, e5: Any) -> None:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in plant("mini-ende", 7)[:15]]
    pairs = read_labelled(write(tmp_path / "planted.tsv", *rows), ("whitespace", "whitespace")).pairs
    links = ae.align([(one.pair.source, one.pair.target) for one in pairs], e5, "refined")
    for one in detect(pairs, list(links), resamples=50):
        assert one.faulty == 5
        assert one.auc is not None
        assert one.auc > 0.9
        assert one.sentence_auc is not None
        assert one.sentence_auc > 0.8
        assert one.recall is not None
        assert one.recall > 60


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in plant("mini-ende", 7)[:6]]
    rows[0] = {**rows[0], "src_lang": "deu_Latn", "mt_text": "other"}
    rows[1]["src_lang"] = "deu_Latn"
    words = ["omissions", write(tmp_path / "planted.tsv", *rows), "--aligner", "hmm", "--tokenize", "whitespace"]
    with pytest.raises(SystemExit) as left:
        main([*words, "--resamples", "20", "--json"])
    assert not left.value.code
    out, err = capsys.readouterr()
    assert "1 translation is left out: its marked text is another than the text" in err
    assert [(one["direction"], one["kind"], one["pairs"]) for one in json.loads(out)][:2] == [
        ("all", "omission", 5), ("all", "hallucination", 5)
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        main(words)
    assert "AUC, sentences" in capsys.readouterr().out
