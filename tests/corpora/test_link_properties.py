"""Properties of all readers and writers: round trips, both parsers read the same, only typed errors on any bytes."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from align_eval.corpora import SentencePair, read_links, write_links
from align_eval.corpora.inputs import Input
from align_eval.corpora.link_formats import LINK_FORMATS, _vector
from align_eval.corpora.link_formats._vector import parse_block
from align_eval.corpora.link_formats.pharaoh import parse_lines
from align_eval.corpora.link_reader import LinkReader
from align_eval.corpora.linkio import read_links_report
from align_eval.errors import AlignEvalError, FormatError
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable, sort_unique

FORMATS = [
    "pharaoh",
    "talp",
    "naacl",
    "a3",
    "tsv",
    "pipes",
    "numbered",
    "multimwa",
    "lists",
    "jsonl",
    "parquet",
]
SURE_ONLY = ("a3", "lists")
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Words hold anything but what separates words, lines or columns; so also U+3000, U+2028 and the words of A3's markup.
WORD = st.one_of(
    st.text(st.characters(exclude_characters=" \n\t\r\0", exclude_categories=("Cs",)), min_size=1, max_size=4),
    st.sampled_from(["\u3000", "\u2028", "\x85", "NULL", "||", "#", "({", "})", "0-0", "1"]),
)


@st.composite
def corpora(draw: st.DrawFn, possible: bool = True, scores: bool = False) -> tuple[LinkTable, list[SentencePair]]:
    """Sentence pairs (some empty) and links inside of them."""
    items: list[Links | GoldLinks] = []
    pairs: list[SentencePair] = []
    for k in range(draw(st.integers(0, 5))):
        source, target = draw(st.lists(WORD, max_size=5)), draw(st.lists(WORD, max_size=5))
        cells = [(i, j) for i in range(len(source)) for j in range(len(target))]
        chosen = sorted(draw(st.sets(st.sampled_from(cells)))) if cells else []
        pairs.append(SentencePair(str(k + 1), tuple(source), tuple(target)))
        if scores:
            width = draw(st.lists(st.floats(-1e6, 1e6, width=32), min_size=len(chosen), max_size=len(chosen)))
            items.append(Links(chosen, width))
        elif possible:
            sure = [link for link in chosen if draw(st.booleans())]
            items.append(GoldLinks(Links(sure), Links(chosen)))
        else:
            items.append(Links(chosen))
    return LinkTable.from_links(items), pairs


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data(), order=st.sampled_from(["st", "ts"]), base=st.sampled_from([0, 1]))
@quick
def test_round_trip(folder: Path, name: str, data: st.DataObject, order: str, base: int) -> None:
    table, pairs = data.draw(corpora(possible=name not in SURE_ONLY))
    base = 1 if name == "a3" else base
    path = folder / name
    write_links(path, table, format=name, base=base, order=order, bitext=pairs)
    back, report = read_links_report(path, format=name, base=base, order=order, bitext=pairs, nulls="drop")
    assert back == table
    assert report.out_of_range == report.duplicates == 0
    if name != "naacl":  # where a sentence pair without links has no line
        assert read_links(path, format=name, base=base, order=order) == table
        blocks = list(LinkReader(path, name, base, order).tables(2))
        assert LinkTable.from_links([b.gold(k) for b in blocks for k in range(b.sentences)]) == table


@given(corpus=corpora(possible=False), chain=st.lists(st.sampled_from(FORMATS), min_size=2, max_size=4))
@quick
def test_any_to_any(folder: Path, corpus: tuple[LinkTable, list[SentencePair]], chain: list[str]) -> None:
    table, pairs = corpus
    path = folder / "chain"
    for name in chain:
        write_links(path, table, format=name, bitext=pairs)
        own = LINK_FORMATS.get(name).own_base
        back = read_links(path, format=name, base=0 if own is None else "auto", bitext=pairs)
        assert back == table
        table = back


@pytest.mark.parametrize("name", ["naacl", "jsonl", "parquet"])
@given(corpus=corpora(scores=True))
@quick
def test_scores_round_trip(folder: Path, name: str, corpus: tuple[LinkTable, list[SentencePair]]) -> None:
    table, pairs = corpus
    path = folder / "scored"
    write_links(path, table, format=name, bitext=pairs)
    back = read_links(path, format=name, bitext=pairs)
    assert back == table
    if table.links:
        assert back.scores is not None
        assert table.scores is not None
        assert np.array_equal(back.scores, table.scores)


@pytest.mark.parametrize("name", ["jsonl", "parquet"])
@given(names=st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), max_size=5))
@quick
def test_ids_round_trip(folder: Path, name: str, names: list[str]) -> None:
    table = LinkTable.from_links([Links([(0, k)]) for k in range(len(names))], ids=names)
    write_links(folder / "named", table, format=name)
    assert list(read_links(folder / "named", format=name).ids or []) == names


@pytest.mark.parametrize("name", ["auto", *FORMATS])
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.text(st.sampled_from('0123456789-p?PS \n\t\r#|{}[]",:(x'), max_size=80).map(str.encode),
        st.tuples(
            st.sampled_from([b"PAR1", b'{"links": [', b"1 1 1\n", b"a\tb\t", b"0-0 "]), st.binary(max_size=60)
        ).map(b"".join),
    ),
    base=st.sampled_from([0, 1, "auto"]),
    order=st.sampled_from(["st", "ts", "auto"]),
    sentences=st.booleans(),
    suffix=st.sampled_from(["", "", "", ".gz", ".xz", ".zst"]),
)
@settings(quick, max_examples=120)
@pytest.mark.filterwarnings("ignore::align_eval.errors.AlignEvalWarning")
def test_only_typed_errors(
    folder: Path, name: str, content: bytes, base: int | str, order: str, sentences: bool, suffix: str
) -> None:
    path = folder / f"any{suffix}"
    path.write_bytes(content)
    bitext = [SentencePair("1", ("a", "b"), ("c",)), SentencePair("2", ("a",), ("c", "d"))] if sentences else None
    with suppress(AlignEvalError):
        table = read_links_report(path, format=name, base=base, order=order, bitext=bitext)[0]
        assert not sentences or table.sentences == 2
    with suppress(AlignEvalError):
        list(LinkReader(path, name, base, order).tables(1))


@given(seed=st.integers(0, 2**32), cuts=st.integers(1, 20))
@settings(quick, max_examples=150)
def test_damaged_files_raise_only_typed_errors(folder: Path, seed: int, cuts: int) -> None:
    """Bytes of good files of every format are changed, removed and doubled."""
    chance = random.Random(seed)
    table = LinkTable.from_links([GoldLinks(Links([(0, 0), (1, 2)]), Links([(0, 1)])), Links(), Links([(2, 1)])])
    sure = LinkTable.from_links([Links([(0, 0), (1, 2)]), Links(), Links([(2, 1)])])
    pairs = [SentencePair(str(k), ("a", "b", "c"), ("x", "y", "z")) for k in (1, 2, 3)]
    name = chance.choice(FORMATS)
    path = folder / "damaged"
    write_links(path, sure if name in SURE_ONLY else table, format=name, bitext=pairs)
    content = bytearray(path.read_bytes())
    for _ in range(cuts):
        at = chance.randrange(len(content) or 1)
        what = chance.randrange(3)
        if what == 0 and content:
            content[at] = chance.choice(b"0123456789-p \n\t\xff{}[]")
        elif what == 1:
            del content[at : at + chance.randrange(9)]
        else:
            content[at:at] = content[at : at + 9]
    path.write_bytes(content)
    path.with_name("damaged.meta.json").unlink(missing_ok=True)
    with suppress(AlignEvalError):
        read_links_report(path, format=chance.choice([name, "auto"]), base=chance.choice([0, 1, "auto"]))


LINKISH = st.lists(
    st.one_of(
        st.sampled_from(["0-0", "1p2", "3?4", "5-6-P", "7-8P", "9-1-S", "2-3S", "12-345", "-1-2", "2--1", "3-", "-3"]),
        st.sampled_from(
            ["1pS", "1p2S", "3-S", "-S", "P", "S", "1-2SP", "1-2--S", "1-2S3-4", "x", "", "1", "-", "1-2-3"]
        ),
        st.sampled_from([" ", "\n", "\r\n", "\r", "\t", "1234567890-1", "0001-2", "3-P4-5"]),
        st.text(st.sampled_from("0123-p?PS \n\r"), max_size=6),
    ),
    max_size=12,
)


@given(parts=LINKISH, gap=st.sampled_from([" ", "  ", "\n", ""]), end=st.sampled_from(["", "\n", " \n", "\r\n"]))
@example(parts=["5-6", "-S"], gap=" ", end="")
@settings(quick, max_examples=1500)
def test_both_parsers_of_pharaoh_agree(folder: Path, parts: list[str], gap: str, end: str) -> None:
    """Whatever the vectorised parser takes, the careful one reads the same; it never takes what that one refuses."""
    content = (gap.join(parts) + end).encode()
    if not content:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_vector, "library", lambda: None)
        _agrees(folder, content)
    _agrees(folder, content)  # compiled, where it is


def _agrees(folder: Path, content: bytes) -> None:
    quickly = parse_block(content, 5)
    path = folder / "links"
    path.touch()
    file = Input(path)
    try:
        carefully = parse_lines(file, file.decode_block(content, 5))
    except FormatError:
        assert quickly is None
        return
    if quickly is None:
        return
    assert quickly.sentences == carefully.sentences
    assert quickly.start_line == carefully.start_line == 5
    for column in ("sentence", "first", "second", "sure"):
        assert np.array_equal(getattr(quickly, column), getattr(carefully, column)), column


PLAIN = {
    b"0-0 1p2 3?4\n": [(0, 0, 0, True), (0, 1, 2, False), (0, 3, 4, False)],
    b"\n \n7-10\n\n": [(2, 7, 10, True)],
    b"  12-999  100-3 \n999-0": [(0, 12, 999, True), (0, 100, 3, True), (1, 999, 0, True)],
    b"001-02\n": [(0, 1, 2, True)],
    b"\n": [],
}


@pytest.mark.parametrize("content", list(PLAIN))
def test_the_quickest_way_reads_plain_lines(content: bytes) -> None:
    found = _vector._parse(content if content.endswith(b"\n") else content + b"\n", 3)
    assert found is not None
    assert found.start_line == 3
    assert found.sentences == content.count(b"\n") + (not content.endswith(b"\n"))
    assert found.sure is not None
    rows = zip(found.sentence.tolist(), found.first.tolist(), found.second.tolist(), found.sure.tolist(), strict=True)
    assert list(rows) == PLAIN[content]


@pytest.mark.parametrize(
    "content",
    [b"1234567890-1\n", b"1-2-Q\n", b"1-\n", b"-1\n", b"1 2\n", b"1-2-3 4\n", b"1m2\n", b"1-2\t3-4\n", b"\xad\n"],
)
def test_the_quickest_way_leaves_the_rest_to_the_others(content: bytes) -> None:
    assert _vector._parse(content, 1) is None


@given(
    lines=st.lists(st.lists(st.sampled_from(["0-0", "1p2", "13-204", "7-8-P", "9-1S"])).map(" ".join), min_size=1),
    end=st.sampled_from(["\n", ""]),
)
@quick
def test_ordinary_lines_go_the_quick_way(lines: list[str], end: str) -> None:
    content = ("\n".join(lines) + end).encode()
    if content:
        assert parse_block(content, 1) is not None


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=30),
    wide=st.booleans(),
    scored=st.booleans(),
)
@quick
def test_sorting_keeps_sure_and_the_best_score(
    rows: list[tuple[int, int, int, bool]], wide: bool, scored: bool
) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    flat = np.array([row[:3] for row in rows], dtype=np.int32).reshape(-1, 3)
    if wide:
        flat[:, 1:] *= 2**29
    sure = np.array([row[3] for row in rows], dtype=bool)
    values = np.arange(len(rows), dtype=np.float32) if scored else None
    expected: dict[tuple[int, int, int], tuple[bool, float]] = {}
    for key, mark, value in zip(map(tuple, flat.tolist()), sure.tolist(), range(len(rows)), strict=True):
        before = expected.get(key, (False, -1.0))
        expected[key] = (mark or before[0], max(value, before[1]))
    sentence, source, target, marks, scores = sort_unique(flat[:, 0], flat[:, 1], flat[:, 2], sure, values)
    got = list(zip(sentence.tolist(), source.tolist(), target.tolist(), strict=True))
    assert got == sorted(expected)
    assert marks.tolist() == [expected[key][0] for key in got]
    if scores is not None:
        assert scores.tolist() == [expected[key][1] for key in got]


@pytest.mark.parametrize("spread", [1, 1000])
def test_unusual_lines_in_a_large_file(tmp_path: Path, spread: int) -> None:
    """One block after the other, some with links that only the careful parser takes; lines stay right."""
    lines = [f"{k % 50}-{k % 40} {k % 7}p3" + (" 2- -1-3" if k % spread == 0 else "") for k in range(60_000)]
    path = tmp_path / "large"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    table, report = read_links_report(path, base=0)
    assert report.nulls == 2 * len(range(0, 60_000, spread))
    assert table.sentences == 60_000
    for k in (0, 1, 999, 1000, 31_234, 59_999):
        assert set(table[k]) == {(k % 50, k % 40), (k % 7, 3)}
    lines[45_678] = "0-0 oops"
    path.write_text("\n".join(lines), "utf-8")
    with pytest.raises(FormatError) as caught:
        read_links(path, base=0)
    assert caught.value.line == 45_679
