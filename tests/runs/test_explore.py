"""Pages from models and links: what they hold equals the maps, links and counts of the rest of the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import align_eval as ae
from align_eval.aligners.heads import READINGS
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.cli import main
from align_eval.corpora import SentencePair
from align_eval.errors import InputError, LengthMismatchError, ModelError, UnknownNameError
from align_eval.extraction import make_extractor
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable
from align_eval.runs.explore import explore_page, explore_text
from align_eval.scoring.measures import counts
from tests.models.families import build, pairs
from tests.report.page.samples import unpack


@pytest.fixture(scope="module")
def marian() -> Any:
    return build("marian")


@pytest.fixture(scope="module")
def gold_pairs() -> list[SentencePair]:
    out = []
    for pair in pairs():
        places = range(min(len(pair.source), len(pair.target)))
        every = Links([(k, k) for k in places])
        sure = Links([(k, k) for k in places if k % 2 == 0])
        out.append(SentencePair(pair.id, pair.source, pair.target, GoldLinks(sure, every)))
    return out


def opened(page: Any, number: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """An entry as the page's script reads it, its maps as numbers."""
    header, arrays = unpack(page._packed[number])
    for name in ("full", "masked"):
        if name in arrays:
            low, high = (arrays[f"{name}.limits"][..., k, None, None].astype(float) for k in (0, 1))
            arrays[name] = low + arrays[name] / (2**page.bits - 1) * (high - low)
    return header, arrays


def test_maps_labels_and_words_are_those_of_the_model(marian: Any, gold_pairs: list[SentencePair]) -> None:
    page = explore_page(gold_pairs, marian)
    assert (page.rows.labels, page.columns.labels) == (("1", "2", "3"), ("1", "2", "3", "4"))
    assert (page.quantity, page.bits, len(page)) == ("attention weight", 16, 4)
    for number, maps in enumerate(attention_maps(marian, gold_pairs)):
        header, arrays = opened(page, number)
        assert np.abs(arrays["full"] - maps.by_head().numpy()).max() <= page.error + 1e-7
        assert tuple(header["queries"]) == maps.queries.units(0)
        assert header["keyWords"] == maps.keys.words[0].tolist()
        assert header["side"] == "target"
        about = page.index()["entries"][number]
        assert (tuple(about["source"]), tuple(about["target"])) == (
            gold_pairs[number].source,
            gold_pairs[number].target,
        )


@pytest.mark.parametrize(("kind", "mode"), [("marian", "awi"), ("bert", "both"), ("bert", "src2tgt"), ("llama", None)])
def test_links_and_counts_are_those_of_the_sweep(kind: str, mode: str | None, gold_pairs: list[SentencePair]) -> None:
    model = build(kind)
    page = explore_page(gold_pairs, model, mode=mode, layers=[3, 1], heads=[2, 4], bits=8)
    found = [[Links() for _ in gold_pairs] for _ in range(4)]
    for batch in word_matrices(
        model, gold_pairs, [3, 1], [2, 4], READINGS.get(mode, mode) if mode else model.readings[0]
    ):
        for view, b, i, j in make_extractor("reverse").of(batch).links.nonzero().tolist():
            found[view][batch.indices[b]] |= Links([(i, j)])
    gold = LinkTable.from_links([pair.gold for pair in gold_pairs if pair.gold is not None])
    table = np.stack([count.reshape(4, 3) for count in page._counts])  # type: ignore[union-attr]
    for view in range(4):
        for k, pair in enumerate(gold_pairs):
            header, arrays = opened(page, k)
            shape = (len(pair.source), len(pair.target)) if header["side"] == "source" else (
                len(pair.target), len(pair.source)
            )  # fmt: skip
            matrix = np.unpackbits(arrays["links"][view])[: shape[0] * shape[1]].reshape(shape)
            matrix = matrix if header["side"] == "source" else matrix.T
            assert [tuple(link) for link in np.argwhere(matrix)] == list(found[view][k])
        expected = counts(gold, LinkTable.from_links(found[view]))
        assert table[:, view].tolist() == expected[:, [0, 2, 3]].tolist()


def test_masked_words_give_second_maps(gold_pairs: list[SentencePair]) -> None:
    from align_eval.runs.infill_pair import infill_pair
    from tests.infilling.models import load

    model = load("masked")
    masks = [(1,), (0, 2), (), (1,)]
    page = explore_page(gold_pairs, model, masks=masks)
    for number, mask in enumerate(masks):
        header, arrays = opened(page, number)
        assert ("masked" in arrays) is bool(mask)
        if mask:
            one = infill_pair(model, gold_pairs[number], mask, head=(2, 3))
            full, masked = one.full, one.masked
            assert np.abs(arrays["full"][1, 2] - full.by_head()[0, 0].numpy()).max() <= page.error + 1e-6
            assert np.abs(arrays["masked"][1, 2] - masked.by_head()[0, 0].numpy()).max() <= page.error + 1e-6
            assert tuple(header["changedQueries"]) == masked.queries.units(0)
            assert header["changedWords"] == list(mask)
    with pytest.raises(InputError, match="3 masks for 4"):
        explore_page(gold_pairs, model, masks=masks[:3])
    with pytest.raises(InputError, match="attention of the model"):
        explore_page(gold_pairs, model, masks=masks, attribution="norms")


def test_a_model_that_cannot_fill_takes_no_masks(marian: Any, gold_pairs: list[SentencePair]) -> None:
    with pytest.raises(ModelError, match="cannot fill"):
        explore_page(gold_pairs, marian, masks=[()] * 4)


def test_signals_of_whole_layers_and_pairs_without_gold(marian: Any) -> None:
    page = explore_page([("das Haus", "the house")], marian, attribution="norms-layer", method=None)
    assert page.columns.labels == ("whole layer",)
    header, arrays = opened(page, 0)
    assert (header["gold"], "links" in arrays, page._counts) == (None, False, [None])


def test_what_cannot_be_explored(marian: Any, gold_pairs: list[SentencePair]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        explore_page(gold_pairs, marian, limit=0)
    with pytest.raises(InputError, match="no sentence pair"):
        explore_page([], marian)
    with pytest.raises(UnknownNameError, match="attention"):
        explore_page(gold_pairs, marian, attribution="atention")
    with pytest.raises(UnknownNameError, match="reverse"):
        explore_page(gold_pairs, marian, method="revers")
    with pytest.raises(UnknownNameError, match="mean"):
        explore_page(gold_pairs, marian, keys="meen")
    with pytest.raises(ModelError, match="which reads pairs"):
        explore_text(marian, "a text")


@pytest.mark.parametrize("kind", ["llama", "bert", "gpt2"])
def test_the_self_attention_of_a_text(kind: str) -> None:
    model = build(kind)
    text = "the small house\nstands by  the river"
    page = explore_text(model, text, layers=[2])
    header, arrays = opened(page, 0)
    values = arrays["full"]
    assert values.shape[:2] == (1, 4)
    assert values.sum(axis=-1) == pytest.approx(1, abs=1e-3)
    if kind != "bert":
        assert (np.triu(values[0, 0], 1) == 0).all()
    assert header["queries"] == header["keys"]
    assert sorted(set(header["queryWords"]) - {-1}) == list(range(7))
    assert page.index()["entries"][0]["text"] == text.split()
    # The sub-words of a word spell it.
    spelt = "".join(t for t, w in zip(header["queries"], header["queryWords"], strict=True) if w == 2)
    assert spelt.replace("##", "").replace("▁", "").strip() == "house"
    with pytest.raises(InputError, match="no word"):
        explore_text(model, " \n")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Links of two systems on mini-ende, drawn from gold."""
    found = {}
    for number, name in enumerate(("one", "two"), 2):
        links = [Links(list(pair.gold.sure)[:number]) for pair in ae.load_testset("mini-ende").pairs if pair.gold]
        found[name] = tmp_path / f"{name}.talp"
        ae.write_links(found[name], LinkTable.from_links(links), format="pharaoh", base=0)
    return found


def test_links_of_systems(files: dict[str, Path]) -> None:
    testset = ae.load_testset("mini-ende")
    page = ae.explore_links(testset, files, limit=5)
    assert (page.rows.labels, page.columns.labels) == (("one", "two"), ("found",))
    table = ae.read_links(files["two"], base=0)
    expected = counts(testset.gold, table)[:5]
    assert [c[1, 0].tolist() for c in page._counts] == expected[:, [0, 2, 3]].tolist()  # type: ignore[index]
    _, arrays = opened(page, 0)
    assert [tuple(link) for link in np.argwhere(arrays["full"][1, 0])] == list(table[0])
    assert page.index()["subject"]["sentence pairs"] == "5 of 40"
    with pytest.raises(LengthMismatchError, match="has links of 1 sentence pairs, mini-ende has 40"):
        ae.explore_links(testset, {"short": ["0-0"]})
    with pytest.raises(InputError, match="no links"):
        ae.explore_links(testset, {})


def command(*arguments: object) -> int:
    try:
        main(["explore", *map(str, arguments)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command_writes_a_page(
    marian: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("align_eval.models.load_model", lambda name, **options: marian)
    out = tmp_path / "pair.html"
    assert command("--source", "das Haus", "--target", "the house", "--layers", "2-3", "-o", out, "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["layers"], about["heads"], about["entries"], about["bytes"]) == (2, 4, 1, out.stat().st_size)
    assert command("--source", "das Haus", "--target", "the house", "-o", out) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 1 entry, 3 layers x 4 heads, ")
    for wrong in (
        [], ["mini-ende", "--text", "a"], ["--source", "a"], ["--text", "a", "--signal", "norms"],
        ["mini-ende", "--bits", "9"],
    ):  # fmt: skip
        assert command(*wrong, "-o", out) == 2
    capsys.readouterr()
    assert command("--text", "a text", "-o", out) == 1
    assert "reads pairs" in capsys.readouterr().err


def test_the_command_reads_links_without_a_model(files: dict[str, Path], tmp_path: Path) -> None:
    asked = [word for file in files.values() for word in ("--links", file)]
    assert command("mini-ende", *asked, "-o", tmp_path / "page.html") == 0
