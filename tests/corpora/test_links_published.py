"""The published gold sets and system outputs, read as they are: counts, proven bases, and each of their traps."""

from __future__ import annotations

from pathlib import Path

import pytest

from align_eval.corpora import Corpus, SentencePair, read_links, write_links
from align_eval.corpora.link_reader import LinkReader
from align_eval.corpora.linkio import read_links_report
from align_eval.errors import IndexBaseError, LengthMismatchError, LinkRangeError
from align_eval.links.table import LinkTable
from align_eval.scoring.systems import ReadOptions, score_files

pytestmark = pytest.mark.shared


def words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(" ") if word)


def piped(path: Path) -> Corpus:
    """``source ||| target``, undecodable bytes replaced (jaen.src-tgt has some)."""
    lines = path.read_bytes().decode("utf-8", errors="replace").removesuffix("\n").split("\n")
    sides = [line.split(" ||| ") for line in lines]
    return Corpus.from_pairs(SentencePair(str(k), words(s[0]), words(s[1])) for k, s in enumerate(sides, 1))


def parallel(source: Path, target: Path) -> Corpus:
    sides = [path.read_text("utf-8").removesuffix("\n").split("\n") for path in (source, target)]
    pairs = zip(*sides, strict=True)
    return Corpus.from_pairs(SentencePair(str(k), words(a), words(b)) for k, (a, b) in enumerate(pairs, 1))


SETS = {
    "deen-rwth": ("deen-rwth/deen.talp", "deen-rwth/test.de-en", 508, 9613, 921, 1),
    "enfr-wpt": ("enfr-wpt/enfr.gold", "enfr-wpt/enfr.src-tgt", 447, 4038, 13400, 1),
    "roen-wpt": ("roen-wpt/roen.gold", "roen-wpt/roen.src-tgt", 248, 6198, 0, 1),
    "jaen-talp": ("jaen-kftt/jaen.talp", "jaen-kftt/test.ja-en", 582, 13562, 0, 0),
    "jaen-gold": ("jaen-kftt/jaen.gold", "jaen-kftt/jaen.src-tgt", 582, 13562, 0, 1),
    "zhen-tsinghua": ("zhen-tsinghua/zhen.gold", "zhen-tsinghua/zhen.src-tgt", 450, 11238, 178, 1),
}


@pytest.mark.parametrize("name", SETS)
def test_counts_and_proven_base(gold_folder: Path, name: str) -> None:
    links, text, pairs, sure, possible, base = SETS[name]
    table, report = read_links_report(gold_folder / links, bitext=piped(gold_folder / text))
    assert (table.sentences, table.sure_links, table.links - table.sure_links) == (pairs, sure, possible)
    assert (report.base, report.order, report.nulls, report.duplicates) == (base, "st", 0, 0)
    assert report.base_from.startswith("link ")


@pytest.mark.parametrize("name", SETS)
def test_base_and_order_proven_together(gold_folder: Path, name: str) -> None:
    links, text, *_, base = SETS[name]
    report = read_links_report(gold_folder / links, order="auto", bitext=piped(gold_folder / text))[1]
    assert (report.base, report.order) == (base, "st")
    given = read_links_report(gold_folder / links, base=base, order="auto", bitext=piped(gold_folder / text))[1]
    assert given.order == "st"


@pytest.mark.parametrize("name", SETS)
def test_wrong_base_never_passes(gold_folder: Path, name: str) -> None:
    links, text, *_, base = SETS[name]
    bitext = piped(gold_folder / text)
    if base == 1:
        with pytest.raises(LinkRangeError, match=r"indices count from 1") as caught:
            read_links(gold_folder / links, base=0, bitext=bitext)
        assert caught.value.line is not None
        assert " source and " in str(caught.value)
    else:
        with pytest.raises(IndexBaseError, match="joins nothing with nothing"):
            read_links(gold_folder / links, base=1, bitext=bitext)


def test_two_forms_of_kftt_hold_the_same_links(gold_folder: Path) -> None:
    folder = gold_folder / "jaen-kftt"
    first = read_links(folder / "jaen.talp")  # a 0 proves the base without sentences
    second = read_links(folder / "jaen.gold", bitext=piped(folder / "jaen.src-tgt"))
    assert first == second


def test_ideographic_space_is_a_word(gold_folder: Path) -> None:
    """With a bare str.split U+3000 vanishes and links point past the end of their sentence."""
    folder = gold_folder / "jaen-kftt"
    good = piped(folder / "test.ja-en")
    read_links(folder / "jaen.talp", bitext=good)
    bad = Corpus.from_pairs(
        SentencePair(p.id, tuple(" ".join(p.source).split()), tuple(" ".join(p.target).split())) for p in good
    )
    with pytest.raises(LinkRangeError):
        read_links(folder / "jaen.talp", base=0, bitext=bad)
    assert read_links_report(folder / "jaen.talp", base=0, bitext=bad, out_of_range="drop")[1].out_of_range == 6


@pytest.mark.parametrize("name", [n for n in SETS if SETS[n][5] == 1])
def test_base_one_is_not_guessed_without_sentences(gold_folder: Path, name: str) -> None:
    with pytest.raises(IndexBaseError, match="Pass the base: 0 or 1") as caught:
        read_links(gold_folder / SETS[name][0])
    assert caught.value.file == str(gold_folder / SETS[name][0])


@pytest.mark.parametrize("file", ["align.txt", "alignv2.txt"])
def test_wpt05_romanian_ids_are_not_line_numbers(gold_folder: Path, file: str) -> None:
    folder = gold_folder / "roen-wpt05"
    bitext = parallel(folder / "test.ro", folder / "test.en")
    table, report = read_links_report(folder / file, bitext=bitext)
    assert (table.sentences, table.sure_links, table.links) == (199, 5033, 5033)
    assert (report.format, report.base, report.base_from, report.duplicates) == ("naacl", 1, "format", 1)
    assert table.ids is not None
    assert (table.ids[0], table.ids[-1]) == ("0001", "0203")
    assert len(set(range(1, 204)) - {int(name) for name in table.ids}) == 4
    order = read_links_report(folder / file, order="auto", bitext=bitext)[1].order
    assert order == "st"
    turned = parallel(folder / "test.en", folder / "test.ro")
    assert read_links_report(folder / file, order="auto", bitext=turned)[1].order == "ts"


def test_wpt05_hindi_has_one_link_out_of_range(gold_folder: Path) -> None:
    folder = gold_folder / "enhi-wpt05"
    bitext = parallel(folder / "test.en", folder / "test.hi")
    with pytest.raises(LinkRangeError, match="outside its sentence pair") as caught:
        read_links(folder / "align.txt", bitext=bitext)
    assert caught.value.line is not None
    with pytest.warns(match="1 links out of range left out"), pytest.warns(match="taken in the order"):
        table = read_links(folder / "align.txt", bitext=bitext, out_of_range="drop")
    assert (table.sentences, table.links) == (90, 1408)
    whole = read_links(folder / "align.txt")
    assert (whole.sentences, whole.links) == (90, 1409)
    assert whole.ids is not None
    assert (whole.ids[0], whole.ids[-1]) == ("26", "123")


def test_xl_wa(gold_folder: Path) -> None:
    files = sorted((gold_folder / "xl-wa").rglob("*.tsv"))
    assert len(files) == 20
    for path in files:
        table, report = read_links_report(path)
        lines = path.read_text("utf-8").removesuffix("\n").split("\n")
        written = [[token for token in line.split("\t")[2].split(" ") if token] for line in lines]
        assert table.sentences == len(lines)
        assert table.sure_links == table.links == sum(len(set(links)) for links in written)
        assert (report.format, report.base) == ("tsv", 0)


ORACLES = {
    "awesome-align/enfr.awesome-align.out": ("enfr-wpt", 6038, "st"),
    "awesome-align/jaen.awesome-align.out": ("jaen-talp", 10256, "st"),
    "cross-align/deen.out": ("deen-rwth", 8748, "st"),
    "lilt/giza/test.roen.talp": ("roen-wpt", 4692, "st"),
    "lilt/giza/test.roen.reverse.talp": ("roen-wpt", 4602, "ts"),
    "lilt/fastalign/test.enfr.talp": ("enfr-wpt", 7312, "st"),
    "lilt/fastalign/test.enfr.reverse.talp": ("enfr-wpt", 6747, "ts"),
}


@pytest.mark.parametrize("name", ORACLES)
def test_system_outputs(gold_folder: Path, oracle_folder: Path, name: str) -> None:
    gold, links, order = ORACLES[name]
    bitext = piped(gold_folder / SETS[gold][1])
    table, report = read_links_report(oracle_folder / name, order="auto", bitext=bitext)
    assert (table.links, report.base, report.order) == (links, 0, order)
    assert table == read_links(oracle_folder / name, order=order)


@pytest.mark.parametrize("name", [n for n in ORACLES if ".reverse." in n])
def test_reverse_files_do_not_pass_as_source_target(gold_folder: Path, oracle_folder: Path, name: str) -> None:
    bitext = piped(gold_folder / SETS[ORACLES[name][0]][1])
    with pytest.raises(IndexBaseError, match="contradictory index base") as caught:
        read_links(oracle_folder / name, bitext=bitext)
    message = str(caught.value)
    assert message.count("source and ") == 2
    assert "side order" in message
    with pytest.raises(LinkRangeError):
        read_links(oracle_folder / name, base=0, bitext=bitext)


def test_sentences_of_another_set_do_not_pass(gold_folder: Path) -> None:
    with pytest.raises(LengthMismatchError, match="508 sentence pairs but 447"):
        read_links(gold_folder / "deen-rwth/deen.talp", bitext=piped(gold_folder / "enfr-wpt/enfr.src-tgt"))


@pytest.mark.parametrize("size", [1, 100, 508, 1000])
def test_blocks_are_the_file(gold_folder: Path, size: int) -> None:
    path, text = gold_folder / SETS["deen-rwth"][0], gold_folder / SETS["deen-rwth"][1]
    whole = read_links(path, base=1)
    blocks = list(LinkReader(path, bitext=piped(text)).tables(size))
    assert [b.sentences for b in blocks[:-1]] == [size] * (len(blocks) - 1)
    assert sum(b.sentences for b in blocks) == 508
    assert LinkTable.from_links([b.gold(k) for b in blocks for k in range(b.sentences)]) == whole


SCORED = {  # gold, system, what the published figure is exactly
    "enfr": ("enfr-wpt", "awesome-align/enfr.awesome-align.out", 4.07),
    "jaen": ("jaen-gold", "awesome-align/jaen.awesome-align.out", 37.36),
    "deen": ("deen-rwth", "cross-align/deen.out", 13.53),
}
FORMS = {"talp": "talp", "wpt": "naacl", "a3": "a3", "jsonl": "jsonl", "parquet": "parquet", "numbered": "numbered"}


@pytest.mark.filterwarnings("ignore:.*null links left out")  # what A3 aligns to NULL
@pytest.mark.parametrize("with_sentences", [True, False])
@pytest.mark.parametrize("name", SCORED)
def test_every_form_scores_the_same(
    gold_folder: Path, oracle_folder: Path, tmp_path: Path, name: str, with_sentences: bool
) -> None:
    """Gold and system in their own form, NAACL, A3, JSONL, Parquet; the base is asked for where nothing proves it."""
    gold_name, system, aer = SCORED[name]
    links, text, *_, possible, base = SETS[gold_name]
    pairs = list(piped(gold_folder / text))
    sentences = pairs if with_sentences else None
    gold = read_links(gold_folder / links, bitext=pairs)
    hypothesis = read_links(oracle_folder / system, bitext=pairs)
    golds, systems = {str(gold_folder / links): base}, [str(oracle_folder / system)]
    for ending, form in FORMS.items():
        systems.append(str(tmp_path / f"system.{ending}"))
        write_links(systems[-1], hypothesis, format=form, bitext=pairs)
        if form != "a3" or not possible:
            path = str(tmp_path / f"gold.{ending}")
            write_links(path, gold, format=form, bitext=pairs)
            golds[path] = 0
    for k, (path, gold_base) in enumerate(golds.items()):
        own = gold_base if not with_sentences and Path(path).suffix not in (".wpt", ".a3") else "auto"
        chosen = systems if k == 0 else systems[:1]
        for score in score_files(
            path, chosen, pairs=sentences, gold_options=ReadOptions(base=own), resamples=0, tests=()
        ):
            assert (round(score.score.aer, 2), score.score.sentences) == (aer, len(pairs)), (path, score.name)


@pytest.mark.parametrize("folder", ["roen-wpt05", "enhi-wpt05"])
def test_numbered_sets_keep_their_numbers_through_every_form(gold_folder: Path, tmp_path: Path, folder: str) -> None:
    table = read_links(gold_folder / folder / "align.txt")
    assert table.ids is not None
    for ending, form in FORMS.items():
        if form not in ("a3", "talp"):
            write_links(tmp_path / f"x.{ending}", table, format=form)
            base = 0 if form == "numbered" else "auto"
            back = read_links(tmp_path / f"x.{ending}", base=base)
            assert back == table
            assert list(back.ids or ()) == list(table.ids)
    with pytest.warns(match="without links stand for the numbers that are missing"):
        write_links(tmp_path / "x.talp", table, format="talp")
    assert len((tmp_path / "x.talp").read_text("utf-8").splitlines()) == int(table.ids[-1])
