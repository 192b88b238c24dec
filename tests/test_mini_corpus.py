"""The corpus the project ships: its files hold together, and its agreement numbers are those of its passes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import align_eval as ae
from align_eval.corpora import read_links

ROOT = Path(__file__).resolve().parent.parent
MINI, TRAIN = ROOT / "data" / "mini", ROOT / "data" / "mini-train"
PAIRS = ("ende", "enfr", "enes", "enzh")
MORE = ("enja", "enru", "enar", "enhi", "encs", "entr", "enfi", "enko")
#: Folder, number of sentence pairs, and what the names of pairs have before their number.
CORPORA = [
    *(pytest.param(MINI / pair, 40, f"{pair}-", id=f"mini-{pair}") for pair in PAIRS),
    *(pytest.param(TRAIN / pair, 100, f"{pair}-t", id=f"mini-{pair}-train") for pair in PAIRS),
    *(pytest.param(TRAIN / pair, 60, f"{pair}-t", id=f"mini-{pair}-train") for pair in MORE),
]
LABELS = {"-": 0, "P": 1, "S": 2}
PHYSICS = "What are the basic physical laws of the universe ?"


@pytest.fixture(scope="module")
def agreement() -> ModuleType:
    """The script ``experiments/mini_corpus/agreement.py`` as a module."""
    path = ROOT / "experiments" / "mini_corpus" / "agreement.py"
    spec = importlib.util.spec_from_file_location("mini_agreement", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def marks(path: Path) -> list[dict[tuple[int, int], int]]:
    """The links of a file by cell, 1 possible and 2 sure."""
    table = read_links(path, format="talp", base=0)
    golds = [table.gold(k) for k in range(len(table))]
    return [{cell: 2 if cell in gold.sure else 1 for cell in gold.possible} for gold in golds]


def rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")]


# Two sentence pairs, 2 x 2 and 1 x 2 words: six cells. By hand:
#   cell      a  b        the table of counts (rows a, columns b):
#   (0,0)     S  S          none possible sure
#   (0,1)     -  P    none    1      1      0
#   (1,0)     -  -    poss    0      1      0
#   (1,1)     P  P    sure    0      1      2
#   2.(0,0)   S  P
#   2.(0,1)   S  S
TOY_A = "0-0 1p1\n0-0 0-1\n"
TOY_B = "0-0 0p1 1p1\n0p0 0-1\n"


def test_agreement_by_hand(agreement: Any, tmp_path: Path) -> None:
    folder = tmp_path / "ende"
    folder.mkdir()
    (folder / "sentences.txt").write_text("a b ||| c d\ne ||| f g\n", encoding="utf-8")
    (folder / "pass-a.talp").write_text(TOY_A, encoding="utf-8")
    (folder / "pass-b.talp").write_text(TOY_B, encoding="utf-8")
    report = agreement.compute(tmp_path)
    part = report["pairs"]["ende"]
    assert part["cells_by_label"] == [[1, 1, 0], [0, 1, 0], [0, 1, 2]]
    assert part["cells"] == 6
    assert part["links_differing"] == 2
    assert part["f1_links"] == round(2 * 4 / (4 + 5), 6)
    assert part["f1_sure"] == round(2 * 2 / (3 + 2), 6)
    # Agreement 4/6; by chance (2*1 + 1*3 + 3*2)/36 = 11/36: kappa (24 - 11)/(36 - 11).
    assert part["kappa_three_labels"] == round(13 / 25, 6)
    # Linked or not: agreement 5/6; by chance (2*1 + 4*5)/36 = 22/36: kappa (30 - 22)/(36 - 22).
    assert part["kappa_two_labels"] == round(8 / 14, 6)
    assert part["links"] == {"pass-a": {"possible_only": 1, "sure": 3}, "pass-b": {"possible_only": 3, "sure": 2}}
    assert report["pooled"] == {key: part[key] for key in report["pooled"]}
    assert "0.8889" in agreement.show(report)


@pytest.mark.parametrize(
    ("base", "file", "pairs"), [(MINI, "agreement.json", PAIRS), (TRAIN, "agreement-train.json", (*PAIRS, *MORE))]
)
def test_agreement_stored_is_that_of_the_files(agreement: Any, base: Path, file: str, pairs: tuple[str, ...]) -> None:
    stored = json.loads((ROOT / "results" / "mini_corpus" / file).read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(agreement.compute(base)))
    assert sorted(stored["pairs"]) == sorted(pairs)


@pytest.mark.parametrize(("base", "ending"), [(MINI, ""), (TRAIN, "-train")])
def test_card_gives_the_stored_numbers(agreement: Any, base: Path, ending: str) -> None:
    card = (base / "README.md").read_text(encoding="utf-8")
    report = agreement.compute(base)
    for name, part in [*report["pairs"].items(), ("pooled", report["pooled"])]:
        numbers = [part[key] for key in ("f1_links", "f1_sure", "kappa_three_labels", "kappa_two_labels")]
        assert f"| {name} | " + " | ".join(f"{number:.4f}" for number in numbers) + " |" in card
    for name, part in report["pairs"].items():
        gold = part["gold"]
        sizes = [part["sentences"], part["source_words"], part["target_words"], gold["sure"], gold["possible_only"]]
        assert f"| `mini-{name}{ending}` | " in card
        assert " | ".join(str(size) for size in sizes) + " |" in card


@pytest.mark.parametrize(("folder", "count", "prefix"), CORPORA)
def test_files_fit_together(folder: Path, count: int, prefix: str, agreement: Any) -> None:
    sentences = [(list(p.source), list(p.target)) for p in ae.read_bitext(str(folder / "sentences.txt"))]
    assert len(sentences) == len(set(map(str, sentences))) == count
    assert all(4 <= len(english) <= (30 if count == 40 else 40) for english, _ in sentences)
    phenomena = rows(folder / "phenomena.tsv")
    digits = 2 if count == 40 else 3
    assert [row[0] for row in phenomena] == [f"{prefix}{number:0{digits}d}" for number in range(1, count + 1)]
    assert all(len(row) == 2 and row[1] for row in phenomena)
    if folder.parent == MINI:
        assert any(" ".join(english) == PHYSICS for english, _ in sentences)
    if folder == MINI / "ende":
        german = "Wie sind die grundlegenden physikalischen Gesetze des Universums ?"
        assert (PHYSICS.split(" "), german.split(" ")) in sentences


def test_no_sentence_of_the_training_part_stands_in_the_test_part(agreement: Any) -> None:
    def sides(base: Path, pairs: tuple[str, ...]) -> set[str]:
        read = [ae.read_bitext(str(base / pair / "sentences.txt")) for pair in pairs]
        return {" ".join(side).casefold() for text in read for pair in text for side in (pair.source, pair.target)}

    assert not sides(MINI, PAIRS) & sides(TRAIN, (*PAIRS, *MORE))


@pytest.mark.parametrize(("folder", "count", "prefix"), CORPORA)
@pytest.mark.parametrize("name", ["pass-a", "pass-b", "gold"])
def test_links_parse_and_lie_in_range(folder: Path, count: int, prefix: str, name: str, agreement: Any) -> None:
    path = folder / f"{name}.talp"
    sentences = [(list(p.source), list(p.target)) for p in ae.read_bitext(str(folder / "sentences.txt"))]
    table = read_links(path, format="talp", base=0)
    assert len(table) == len(path.read_text(encoding="utf-8").splitlines()) == count
    table.check_range([len(english) for english, _ in sentences], [len(target) for _, target in sentences])
    for number in range(count):
        gold = table.gold(number)
        assert gold.sure <= gold.possible
        assert len(gold.possible) > 0
    if name == "gold":  # sorted, one line a pair, nothing but its links
        text = "".join(f"{table.gold(number)}\n" for number in range(count))
        assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("folder", "count", "prefix"), CORPORA)
def test_gold_is_the_passes_and_the_adjudication(folder: Path, count: int, prefix: str, agreement: Any) -> None:
    sentences = [(list(p.source), list(p.target)) for p in ae.read_bitext(str(folder / "sentences.txt"))]
    first, second, gold = (marks(folder / f"{name}.talp") for name in ("pass-a", "pass-b", "gold"))
    header, *lines = rows(folder / "adjudication.tsv")
    assert header == ["pair", "english", "target", "pass_a", "pass_b", "gold", "rule"]
    settled: dict[tuple[int, int, int], int] = {}
    for name, english, target, label_a, label_b, label, rule in lines:
        number = int(name.removeprefix(prefix)) - 1
        (word, i), (other, j) = english.rsplit(":", 1), target.rsplit(":", 1)
        cell = (int(i), int(j))
        assert (sentences[number][0][cell[0]], sentences[number][1][cell[1]]) == (word, other)
        assert (first[number].get(cell, 0), second[number].get(cell, 0)) == (LABELS[label_a], LABELS[label_b])
        assert not label_a == label_b == label
        assert rule.split(":")[0] in {"slip of A", "slip of B", "both", *map(str, range(1, 40))}
        assert (number, *cell) not in settled
        settled[(number, *cell)] = LABELS[label]
    for number in range(count):
        cells = first[number].keys() | second[number].keys() | gold[number].keys()
        for cell in cells:
            labels = {first[number].get(cell, 0), second[number].get(cell, 0)}
            assert len(labels) == 1 or (number, *cell) in settled, f"{prefix}{number + 1:02d} {cell} is not settled"
            expected = settled.get((number, *cell), min(labels))
            assert gold[number].get(cell, 0) == expected, f"{prefix}{number + 1:02d} {cell}"
