"""A user's own test sets under a name: added in one line, checked at each use, removed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from align_eval import corpora
from align_eval.cli import main
from align_eval.corpora import load_testset
from align_eval.corpora.testset_entries import user_registry
from align_eval.corpora.testsets import add_testset, remove_testset
from align_eval.errors import AlignEvalError, ChecksumError, FormatError, InputError, MissingFileError

PAIRS = [("das kleine Haus", "the little house"), ("ja", "yes , yes")]
GOLD = ["0-0 1-1 2p2", "0-0 0-2"]


@pytest.fixture(autouse=True)
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ALIGN_EVAL_TESTSETS", raising=False)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "s").write_text("".join(f"{s}\n" for s, _ in PAIRS), "utf-8")
    (tmp_path / "t").write_text("".join(f"{t}\n" for _, t in PAIRS), "utf-8")
    (tmp_path / "pairs.txt").write_text("".join(f"{s} ||| {t}\n" for s, t in PAIRS), "utf-8")
    (tmp_path / "head.tsv").write_text("de\ten\n" + "".join(f"{s}\t{t}\n" for s, t in PAIRS), "utf-8")
    rows = [{"a": s, "b": t, "l": g} for (s, t), g in zip(PAIRS, GOLD, strict=True)]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (tmp_path / "gold").write_text("1-1 2-2 3p3\n1-1 1-3\n", "utf-8")
    (tmp_path / "gold.wpt").write_text("1 1 1 S\n1 2 2 S\n1 3 3 P\n2 1 1 S\n2 1 3 S\n", "utf-8")
    return {path.name: str(path) for path in tmp_path.iterdir() if path.is_file()}


@pytest.mark.parametrize("form", ["pipes", "parallel", "header", "jsonl"])
def test_a_set_is_added_in_one_line(files: dict[str, str], form: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = {
        "pipes": ["--bitext", files["pairs.txt"], "--gold", files["gold"], "--gold-base", "1"],
        "parallel": ["--source", files["s"], "--target", files["t"], "--gold", files["gold.wpt"]],
        "header": ["--bitext", files["head.tsv"], "--bitext-format", "tsv:header=yes", "--gold", files["gold"],
                   "--gold-base", "1"],
        "jsonl": ["--bitext", files["all.jsonl"], "--bitext-format", "auto:columns=a+b+l"],
    }[form]  # fmt: skip
    run("testsets", "add", "my.set", *words, "--source-language", "de", "--target-language", "en")
    assert "my.set: 2 sentence pairs, 4 sure and 1 possible-only links" in capsys.readouterr().out
    loaded = load_testset("my.set")
    assert [pair.source_text for pair in loaded.pairs] == [s for s, _ in PAIRS]
    assert [str(pair.gold) for pair in loaded.pairs] == GOLD
    assert (loaded.source_language, loaded.citation, loaded.licence) == ("de", "", "")
    run("testsets", "check", "my.set")
    run("testsets", "list")
    run("testsets", "show", "my.set")
    assert "licence    not stated" in capsys.readouterr().out
    run("testsets", "remove", "my.set")
    assert "my.set" not in corpora.testset_names()


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    assert not left.value.code


def test_a_set_without_gold(files: dict[str, str]) -> None:
    add_testset("bare", files["s"], target=files["t"])
    assert load_testset("bare").pairs[0].gold is None
    assert len(load_testset("bare")) == 2


@pytest.mark.parametrize("name", ["pairs.txt", "gold"])
def test_files_that_are_moved_or_changed(files: dict[str, str], name: str) -> None:
    add_testset("own", files["pairs.txt"], files["gold"], gold_base=1)
    path = Path(files[name])
    content = path.read_text("utf-8")
    path.write_text(content.replace("1", "2").replace("das", "die"), "utf-8")
    with pytest.raises(ChecksumError, match="testsets add own --replace") as error:
        load_testset("own")
    assert error.value.file == str(path)
    path.unlink()
    with pytest.raises(MissingFileError, match="Put the file back") as gone:
        load_testset("own")
    assert gone.value.file == str(path)
    path.write_text(content + ("ja ||| yes\n" if name != "gold" else ""), "utf-8")
    if name != "gold":
        with pytest.raises(AlignEvalError, match="links of 2"):
            add_testset("own", files["pairs.txt"], files["gold"], gold_base=1, replace=True)
    path.write_text(content, "utf-8")
    assert add_testset("own", files["pairs.txt"], files["gold"], gold_base=1, replace=True).sentences == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [("own", "registered already.*--replace"), ("mini-ende", "registered already"), ("a b", "cannot be the name"),
     ("../x", "cannot be the name"), ("", "cannot be the name")],
)  # fmt: skip
def test_names_that_cannot_be(files: dict[str, str], name: str, told: str) -> None:
    add_testset("own", files["pairs.txt"])
    before = user_registry().read_bytes()
    with pytest.raises(InputError, match=told):
        add_testset(name, files["pairs.txt"])
    assert user_registry().read_bytes() == before


def test_what_a_user_wrote_into_the_registry_stays(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Path(files["s"]).parent / "mine.toml"
    registry.write_text('# my sets\n[source.k]\ncitation = ["A"]\nlicence = "L"', "utf-8")
    monkeypatch.setenv("ALIGN_EVAL_TESTSETS", str(registry))
    for name in ("a", "a.b", "c"):
        add_testset(name, files["pairs.txt"], files["gold"], gold_base=1, title=f'"{name}"\\\n\x7f')
    assert load_testset("a.b").title == '"a.b"\\\n\x7f'
    before = registry.read_text("utf-8")
    add_testset("d", files["pairs.txt"])
    assert remove_testset("d") == registry
    assert registry.read_text("utf-8").rstrip("\n") == before.rstrip("\n")
    remove_testset("a")
    assert {"a.b", "c"} <= set(corpora.testset_names())
    assert "a" not in corpora.testset_names()
    assert registry.read_text("utf-8").startswith('# my sets\n[source.k]\ncitation = ["A"]')
    with pytest.raises(InputError, match="not one of yours"):
        remove_testset("mini-ende")
    with pytest.raises(InputError, match="unknown own test set"):
        remove_testset("a")


def test_sets_added_at_once_all_stay(files: dict[str, str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: add_testset(f"own{k}", files["pairs.txt"]), range(8)))
    assert {f"own{k}" for k in range(8)} <= set(corpora.testset_names())


def test_a_damaged_registry_is_told(files: dict[str, str]) -> None:
    add_testset("own", files["pairs.txt"])
    user_registry().write_text("[testset.own", "utf-8")
    for use in (corpora.testset_names, lambda: add_testset("b", files["pairs.txt"]), lambda: remove_testset("own")):
        with pytest.raises(FormatError, match="not a TOML file"):
            use()
