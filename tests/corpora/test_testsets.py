"""The registry of named test sets, against the published files and against sets made here."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from align_eval.corpora import testset_entries, testsets
from align_eval.corpora.testset_entries import REGISTRY_FILE, read_registry
from align_eval.corpora.testsets import check_testset, fetch_testset, load_testset, locate_testset
from align_eval.errors import (
    ChecksumError,
    DownloadError,
    FormatError,
    InputError,
    LengthMismatchError,
    LinkRangeError,
    MissingFileError,
    UnknownNameError,
)
from align_eval.files import data_folder, sha256_of
from tests.loopback import Loopback, serve

ENTRIES = read_registry(REGISTRY_FILE)
PUBLISHED = [name for name, entry in ENTRIES.items() if not entry.packaged]
MINI = [name for name, entry in ENTRIES.items() if entry.packaged]

LANGUAGES = ("bg", "da", "es", "et", "hu", "it", "nl", "pt", "ru", "sl")

#: Sentence pairs, sure and possible-only links, as the table of the published sets states them.
STATED = {
    "deen-rwth": (508, 9613, 921),
    "enfr-wpt": (447, 4038, 13400),
    "roen-wpt": (248, 6198, 0),
    "jaen-kftt": (582, 13562, 0),
    "zhen-tsinghua": (450, 11238, 178),
}

SENTENCES = "a b ||| x y\nc ||| z\n"
GOLD = "1-1 2p2\n1-1\n"


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any published set; returns its cache folder."""
    monkeypatch.delenv("ALIGN_EVAL_DATA", raising=False)
    monkeypatch.delenv("ALIGN_EVAL_TESTSETS", raising=False)
    monkeypatch.setenv("ALIGN_EVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "testsets"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("no_proxy", "*")
    with serve() as running:
        yield running


def own_registry(name: str = "own", gold: str = GOLD, text: str = SENTENCES, url: str = "", **changes: str) -> str:
    """A registry file with one set of two sentence pairs."""
    values = {"base": "1", "sentences": "2", "sure": "2", "possible": "3", "origin": '""', **changes}
    toml = f"""
[source.s]
citation = ["A Reference"]
licence = "CC0"

[testset.{name}]
source = "s"
title = "A set"
source_language = "aa"
target_language = "bb"
version = "1"
"""
    toml += "".join(f"{key} = {value}\n" for key, value in values.items())
    for role, path, format, content in (
        ("sentences", "own/text", "pipes", text),
        ("gold", "own/gold.talp", "talp", gold),
    ):
        toml += f"""
[[testset.{name}.files]]
role = "{role}"
path = "{path}"
format = "{format}"
sha256 = "{hashlib.sha256(content.encode()).hexdigest()}"
"""
        toml += f'url = "{url}/{path}"\n' if url else ""
    return toml


def write_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gold: str = GOLD, text: str = SENTENCES, **changes: str
) -> Path:
    """Write a registry with its files beside it, and make it known."""
    (folder / "own").mkdir(parents=True, exist_ok=True)
    (folder / "own" / "text").write_text(text, newline="\n")
    (folder / "own" / "gold.talp").write_text(gold, newline="\n")
    registry = folder / "registry.toml"
    registry.write_text(own_registry(gold=gold, text=text, **changes))
    monkeypatch.setenv("ALIGN_EVAL_TESTSETS", str(registry))
    return registry


# The registry of the package


def test_a_set_from_its_other_side() -> None:
    there = load_testset("mini-ende")
    back = there.reverse()
    assert (back.name, back.source_language, back.target_language) == ("mini-ende:reverse", "de", "en")
    assert (back.checksum, len(back)) == (there.checksum, len(there))
    for one, other in zip(there.pairs, back.pairs, strict=True):
        assert (one.source, one.target) == (other.target, other.source)
        assert one.gold is not None
        assert other.gold == one.gold.reverse()
    again = back.reverse()
    assert (again.name, again.source_language) == ("mini-ende", "en")
    assert again.gold == there.gold
    assert [(p.source, p.target) for p in again.pairs] == [(p.source, p.target) for p in there.pairs]


def test_registry_names_every_set() -> None:
    xl_wa = [f"xl-wa-{x}-{s}" for x in LANGUAGES for s in ("dev", "test")]
    mini = ["mini-ende", "mini-enfr", "mini-enes", "mini-enzh"]
    assert testsets.testset_names()[:29] == [*STATED, *xl_wa, *mini]


def test_counts_are_the_stated_ones() -> None:
    for name, (sentences, sure, only_possible) in STATED.items():
        entry = ENTRIES[name]
        assert (entry.sentences, entry.sure, entry.possible - entry.sure) == (sentences, sure, only_possible)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_entries_can_be_fetched_from_a_fixed_commit(name: str) -> None:
    for file in ENTRIES[name].files:
        assert re.fullmatch(
            r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/(data|examples)/.+", file.url or ""
        )
        assert (file.url or "").endswith(file.path.split("/")[-1])
    assert ENTRIES[name].licence
    assert all(re.search(r"\((19|20)\d\d\)", reference) for reference in ENTRIES[name].citation)


@pytest.mark.shared
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_set_loads(name: str, gold_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGN_EVAL_DATA", str(gold_folder))
    entry, testset = ENTRIES[name], load_testset(name)
    assert locate_testset(name) == ("data folder", gold_folder)
    assert len(testset) == len(testset.pairs) == testset.gold.sentences == entry.sentences
    assert (testset.gold.sure_links, testset.gold.links) == (entry.sure, entry.possible)
    assert (testset.source_language, testset.target_language) == (entry.source_language, entry.target_language)
    for k, pair in enumerate(testset.pairs):
        assert pair.gold is not None
        assert pair.gold.sure <= pair.gold.possible
        assert pair.gold == testset.gold.gold(k)
        assert all(i < len(pair.source) and j < len(pair.target) for i, j in pair.gold.possible)
        assert all(word and " " not in word for word in pair.source + pair.target)
    assert len({pair.id for pair in testset.pairs}) == entry.sentences
    assert check_testset(name).status == "ok"


@pytest.mark.shared
def test_index_bases_are_right(gold_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file proves its base: an index 0, or one that equals the length of its sentence."""
    monkeypatch.setenv("ALIGN_EVAL_DATA", str(gold_folder))
    for name in PUBLISHED:
        testset = load_testset(name)
        lowest = min(int(testset.gold.source.min()), int(testset.gold.target.min()))
        assert lowest == 0, name
        reaches_end = any((len(p.source) - 1, len(p.target) - 1) in p.gold.possible for p in testset.pairs if p.gold)
        assert reaches_end, name


@pytest.mark.shared
def test_ideographic_spaces_are_words(gold_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGN_EVAL_DATA", str(gold_folder))
    assert any("　" in pair.source for pair in load_testset("jaen-kftt").pairs)


@pytest.mark.shared
def test_checksum_is_what_the_shell_gives(gold_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGN_EVAL_DATA", str(gold_folder))
    testset = load_testset("deen-rwth")
    sums = "".join(f"{sha256_of(path)}\n" for path in testset.files)
    assert testset.checksum == hashlib.sha256(sums.encode()).hexdigest()


@pytest.mark.shared
def test_loading_needs_no_heavy_package(gold_folder: Path) -> None:
    code = (
        "import sys; from align_eval.corpora import load_testset; load_testset('deen-rwth').pairs; "
        "print([m for m in ('torch', 'transformers', 'datasets', 'scipy', 'pyarrow', 'sacrebleu', 'rich') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"ALIGN_EVAL_DATA": str(gold_folder), "PATH": ""},
    )
    assert done.stdout.strip() == "[]"


# The project's own sets


@pytest.mark.parametrize("name", MINI)
def test_own_set_is_always_there(name: str, nothing_here: Path) -> None:
    testset = load_testset(name)
    assert locate_testset(name) == ("packaged", data_folder())
    assert len(testset.pairs) in ((100, 60) if name.endswith("-train") else (40,))
    assert all(pair.gold is not None and len(pair.gold.sure) for pair in testset.pairs)
    assert testset.licence == "CC0 1.0"
    assert check_testset(name).status == "ok"


def test_registry_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[2] / "experiments" / "update_testset_registry.py"
    spec = importlib.util.spec_from_file_location("update_testset_registry", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    registry = tmp_path / "testsets.toml"
    shutil.copy(REGISTRY_FILE, registry)
    data = tmp_path / "data"
    for name in MINI:
        for file in ENTRIES[name].files:
            (data / file.path).parent.mkdir(parents=True, exist_ok=True)
        sentences, gold = ENTRIES[name].files
        (data / sentences.path).write_text("a b c ||| x y\n\n" if name == "mini-enzh" else SENTENCES)
        (data / gold.path).write_text("0-0 1p1\n0-0\n")
    (data / "mini" / "enzh" / "sentences.txt").write_text("a b c ||| x y\nd ||| z\n")

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["x", "--data", str(data), "--registry", str(registry), *arguments])
        script.main()

    with pytest.raises(SystemExit, match="out of date"):
        run("--check")
    run()
    run("--check")
    assert f"{5 * len(MINI)} values, 0 changed" in capsys.readouterr().out
    after = read_registry(registry)
    for name, entry in ENTRIES.items():
        if name not in MINI:
            assert after[name].files == entry.files
            assert after[name].checksum == entry.checksum
            continue
        assert (after[name].sentences, after[name].sure, after[name].possible) == (2, 2, 3)
        assert [f.sha256 for f in after[name].files] == [sha256_of(data / f.path) for f in entry.files]


# Where files are looked for


def test_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match="'deen-rwth'"):
        load_testset("deen-rwt")


def test_absent_set_says_how_to_fetch_it(nothing_here: Path) -> None:
    with pytest.raises(MissingFileError, match=r"align-eval testsets fetch deen-rwth.*ALIGN_EVAL_DATA"):
        load_testset("deen-rwth")
    assert locate_testset("deen-rwth") is None
    assert check_testset("deen-rwth").status == "not fetched"


def test_search_order(nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = write_own(tmp_path / "registry", monkeypatch)
    places = {
        "registry folder": registry.parent,
        "data folder": tmp_path / "named",
        "cache": nothing_here,
    }
    for folder in list(places.values())[1:]:
        shutil.copytree(registry.parent / "own", folder / "own", dirs_exist_ok=True)
    monkeypatch.setenv("ALIGN_EVAL_DATA", str(places["data folder"]))
    for place, folder in places.items():
        assert locate_testset("own") == (place, folder)
        assert load_testset("own").files == (folder / "own" / "text", folder / "own" / "gold.talp")
        (folder / "own" / "text").unlink()
    assert locate_testset("own") is None


def test_own_registry_beside_its_files(nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_own(tmp_path, monkeypatch)
    testset = load_testset("own")
    assert [(p.source, p.target, str(p.gold)) for p in testset.pairs] == [
        (("a", "b"), ("x", "y"), "0-0 1p1"),
        (("c",), ("z",), "0-0"),
    ]
    assert testset.citation == "A Reference"
    assert testsets.testset_names()[-1] == "own"
    assert check_testset("own") == testsets.TestSetCheck("own", "ok", f"registry folder ({tmp_path})")


def test_parallel_files_and_tables(nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("a b\nc\n")
    (tmp_path / "b").write_text("x y\nz\n")
    (tmp_path / "gold").write_text("0-0 1?1\n0-0\n")
    (tmp_path / "both.tsv").write_text("a b\tx y\t0-0 1-1\nc\tz\t0-0\n")

    def file(name: str, role: str, path: str, format: str) -> str:
        return (
            f'[[testset.{name}.files]]\nrole = "{role}"\npath = "{path}"\nformat = "{format}"\n'
            f'sha256 = "{sha256_of(tmp_path / path)}"\n'
        )

    head = own_registry(base="0").split("[[testset")[0]
    table = head[head.index("[testset") :]
    registry = tmp_path / "r.toml"
    registry.write_text(
        head
        + file("own", "target", "b", "parallel")
        + file("own", "gold", "gold", "pharaoh")
        + file("own", "source", "a", "parallel")
        + table.replace("own", "table").replace("sure = 2", "sure = 3")
        + file("table", "sentences+gold", "both.tsv", "tsv")
    )
    monkeypatch.setenv("ALIGN_EVAL_TESTSETS", str(registry))
    own, both = load_testset("own"), load_testset("table")
    assert [(p.source, p.target) for p in own.pairs] == [(p.source, p.target) for p in both.pairs]
    assert [str(p.gold) for p in own.pairs] == ["0-0 1p1", "0-0"]
    assert [str(p.gold) for p in both.pairs] == ["0-0 1-1", "0-0"]


# What is wrong is told


@pytest.mark.parametrize("place", ["named", "cache"])
def test_changed_file(nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    registry = write_own(tmp_path / "registry", monkeypatch)
    folder = {"named": tmp_path / "named", "cache": nothing_here}[place]
    shutil.move(registry.parent / "own", folder / "own")
    monkeypatch.setenv("ALIGN_EVAL_DATA", str(tmp_path / "named"))
    (folder / "own" / "gold.talp").write_text(GOLD.replace("2p2", "2-2"))
    with pytest.raises(ChecksumError, match=r"gold\.talp: sha256 [0-9a-f]{64}, but the test set 'own'"):
        load_testset("own")
    check = check_testset("own")
    assert check.status == "differs"
    assert len(check.problems) == 1
    assert "gold.talp: sha256" in check.problems[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentences": "3"}, "2 sentences, but the test set 'own' is registered with 3"),
        ({"sure": "1"}, "2 sure links, but the test set 'own' is registered with 1"),
        ({"possible": "4"}, "3 possible links"),
    ],
)
def test_wrong_counts(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str
) -> None:
    write_own(tmp_path, monkeypatch, **changes)
    with pytest.raises(FormatError, match=re.escape(message)):
        load_testset("own")
    assert check_testset("own").status == "differs"


def test_other_number_of_sentences(nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_own(tmp_path, monkeypatch, text=SENTENCES + "d ||| w\n")
    with pytest.raises(LengthMismatchError, match="links of 2 sentence pairs but 3 sentence pairs of text"):
        load_testset("own")
    assert check_testset("own").status == "differs"


def test_link_out_of_range(nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_own(tmp_path, monkeypatch, gold="1-1 3p2\n1-1\n")
    with pytest.raises(LinkRangeError, match="link 3p2|link 3-2|link 2-1") as error:  # noqa: RUF043
        load_testset("own")
    assert error.value.line == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('source = "s"', 'source = "t"', "'t' is missing"),
        ('title = "A set"', "title = 3", "'title' has to be a text"),
        ("base = 1", "base = 2", "'base' has to be a number from 0 to 1"),
        ("base = 1", "base = true", "'base' has to be a number"),
        ("possible = 3", "possible = 1", "counts all of P"),
        ("sentences = 2", "sentence = 2", "unknown key 'sentence'"),
        ('origin = ""', 'origin = "web"', "unknown origin 'web'"),
        ('role = "gold"', 'role = "links"', "accepted: gold and sentences"),
        ('path = "own/text"', 'path = "../text"', "leaves its folder"),
        ('path = "own/text"', 'path = "own/../../text"', "leaves its folder"),
        ('sha256 = "', 'sha256 = "x', "not 64 hex digits"),
        ('format = "talp"', 'url = "file:///x"\nformat = "talp"', "does not begin with https"),
        ('citation = ["A Reference"]', "citation = []", "'citation' has to be a list"),
        ('citation = ["A Reference"]', "citation = [3]", "list of texts"),
        ("[testset.own]", '[testset."o/wn"]', "a name is made of"),
        ("[testset.own]", "[testset", "not a TOML file"),
        ("[source.s]", "[sauce.s]", "'s' is missing"),
    ],
)
def test_malformed_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str) -> None:
    registry = write_own(tmp_path, monkeypatch)
    text = own_registry()
    assert old in text
    if "o/wn" in new:
        text = text.replace("testset.own.", 'testset."o/wn".')
    registry.write_text(text.replace(old, new, 1))
    with pytest.raises(FormatError, match=re.escape(message)) as caught:
        load_testset("own")
    assert caught.value.file == str(registry)


def test_registry_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGN_EVAL_TESTSETS", "no-such-file.toml")
    with pytest.raises(MissingFileError, match="ALIGN_EVAL_TESTSETS"):
        testsets.testset_names()


def test_registered_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = write_own(tmp_path, monkeypatch)
    registry.write_text(own_registry("enfr-wpt"))
    with pytest.raises(FormatError, match="already registered"):
        testsets.testset_names()


@given(data=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_arbitrary_bytes_as_registry(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(data)
    with contextlib.suppress(FormatError):
        assert testset_entries.read_registry(path) == {}, "a registry without sets is one, too"


# Fetching


def write_fetchable(server: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = folder / "registry.toml"
    registry.write_text(own_registry(url=server.url))
    monkeypatch.setenv("ALIGN_EVAL_TESTSETS", str(registry))
    server.add("/own/text", SENTENCES.encode())
    server.add("/own/gold.talp", GOLD.encode())


def test_fetch(nothing_here: Path, server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fetchable(server, tmp_path, monkeypatch)
    with pytest.raises(MissingFileError, match="align-eval testsets fetch own"):
        load_testset("own")
    files = fetch_testset("own")
    assert files == (nothing_here / "own" / "text", nothing_here / "own" / "gold.talp")
    assert load_testset("own").files == files
    assert locate_testset("own") == ("cache", nothing_here)
    fetch_testset("own")
    assert len(server.requests) == 2


def test_fetch_heals_the_cache(
    nothing_here: Path, server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fetchable(server, tmp_path, monkeypatch)
    damaged = fetch_testset("own")[1]
    damaged.write_text("1-1\n")
    with pytest.raises(ChecksumError, match="align-eval testsets fetch own"):
        load_testset("own")
    fetch_testset("own")
    assert load_testset("own").gold.links == 3


def test_half_a_set_is_no_set(
    nothing_here: Path, server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fetchable(server, tmp_path, monkeypatch)
    del server.answers["/own/gold.talp"]
    with pytest.raises(DownloadError, match="404"):
        fetch_testset("own")
    assert locate_testset("own") is None


def test_fetch_takes_what_a_data_folder_has(
    nothing_here: Path, server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fetchable(server, tmp_path, monkeypatch)
    folder = tmp_path / "named" / "own"
    folder.mkdir(parents=True)
    (folder / "text").write_text(SENTENCES)
    (folder / "gold.talp").write_text(GOLD)
    monkeypatch.setenv("ALIGN_EVAL_DATA", str(tmp_path / "named"))
    assert fetch_testset("own") == (folder / "text", folder / "gold.talp")
    assert server.requests == []
    assert fetch_testset("own", force=True)[0] == nothing_here / "own" / "text"
    assert len(server.requests) == 2
    (folder / "text").write_text("")
    with pytest.raises(ChecksumError, match="take it away"):
        fetch_testset("own")


def test_fetch_without_address(nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_own(tmp_path, monkeypatch)
    assert fetch_testset("own", force=True) == (tmp_path / "own" / "text", tmp_path / "own" / "gold.talp")
    shutil.rmtree(tmp_path / "own")
    with pytest.raises(InputError, match="no address"):
        fetch_testset("own")
    assert check_testset("own").status == "missing"


@pytest.mark.parametrize("layout", ["sentences", "sentences+gold", "source"])
def test_a_file_that_changes_after_the_check_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    contents = {
        "sentences": {"sentences": ("pipes", SENTENCES), "gold": ("talp", GOLD)},
        "sentences+gold": {"sentences+gold": ("tsv", "a b\tx y\t0-0 1p1\nc\tz\t0-0\n")},
        "source": {"source": ("parallel", "a b\nc\n"), "target": ("parallel", "x y\nz\n"), "gold": ("talp", GOLD)},
    }[layout]
    toml = own_registry().partition("[[testset")[0]
    if layout == "sentences+gold":
        toml = toml.replace("base = 1", "base = 0")
    for role, (format, content) in contents.items():
        (tmp_path / role).write_text(content, newline="\n")
        digest = hashlib.sha256(content.encode()).hexdigest()
        toml += f'[[testset.own.files]]\nrole = "{role}"\npath = "{role}"\nformat = "{format}"\nsha256 = "{digest}"\n'
    (tmp_path / "registry.toml").write_text(toml)
    monkeypatch.setenv("ALIGN_EVAL_TESTSETS", str(tmp_path / "registry.toml"))
    loaded = load_testset("own")
    changed = tmp_path / layout
    changed.write_text(changed.read_text().replace("a", "q"))
    with pytest.raises(ChecksumError, match="registered with") as error:
        loaded.pairs  # noqa: B018
    assert error.value.file == str(changed)
    with pytest.raises(ChecksumError):
        load_testset("own")
