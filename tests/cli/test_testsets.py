"""``align-eval testsets``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from align_eval.cli import main
from tests.corpora.test_testsets import GOLD, SENTENCES, own_registry, write_own
from tests.loopback import serve


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any published set; returns its cache folder."""
    monkeypatch.delenv("ALIGN_EVAL_DATA", raising=False)
    monkeypatch.delenv("ALIGN_EVAL_TESTSETS", raising=False)
    monkeypatch.setenv("ALIGN_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "testsets"


def run(*arguments: str) -> int:
    """Run the command; returns its exit code."""
    with pytest.raises(SystemExit) as caught:
        main(["testsets", *arguments])
    return int(caught.value.code or 0)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["name", "pair", "sentences", "sure", "possible", "files", "licence"]
    assert out[1].split()[:7] == ["deen-rwth", "de-en", "508", "9613", "10534", "not", "fetched"]
    assert "CC BY-NC-SA 4.0" in out[6]


def test_list_json(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_own(tmp_path, monkeypatch)
    assert run("list", "--json") == 0
    streams = capsys.readouterr()
    rows = {row["name"]: row for row in json.loads(streams.out)}
    assert streams.err == ""
    assert rows["own"] == {
        "name": "own",
        "source_language": "aa",
        "target_language": "bb",
        "sentences": 2,
        "sure": 2,
        "possible": 3,
        "licence": "CC0",
        "status": "found",
        "place": "registry folder",
        "folder": str(tmp_path),
    }
    assert rows["jaen-kftt"]["status"] == "not fetched"
    assert rows["jaen-kftt"]["place"] is None


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "enfr-wpt") == 0
    out = capsys.readouterr().out
    for expected in ("4038 sure and 13400 possible-only", "Mihalcea", "Och", "index base 1", "sha256", "not fetched"):
        assert expected in out
    assert run("show", "xl-wa-bg-dev", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["citation"][0].startswith("Federico Martelli")
    assert data["files"][0]["role"] == "sentences+gold"
    assert data["base"] == 0


def test_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("show", "fetch", "check"):
        assert run(command, "deen-rwt") == 1
        streams = capsys.readouterr()
        assert streams.out == ""
        assert streams.err.count("\n") == 1
        assert "Did you mean 'deen-rwth'" in streams.err


@pytest.mark.parametrize("command", ["show", "fetch", "check"])
def test_usage(command: str) -> None:
    assert run(command) == 2


def test_fetch_and_check(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_here: Path
) -> None:
    with serve() as server:
        registry = tmp_path / "registry.toml"
        registry.write_text(own_registry(url=server.url).replace('"CC0"', '"CC0"\nnotice = "Mind this."'))
        monkeypatch.setenv("ALIGN_EVAL_TESTSETS", str(registry))
        server.add("/own/text", SENTENCES.encode())
        server.add("/own/gold.talp", GOLD.encode()[:-1])

        assert run("check", "own") == 1
        assert "own: not fetched" in capsys.readouterr().out
        assert run("fetch", "own") == 1
        streams = capsys.readouterr()
        assert streams.out == ""
        assert "own: licence: CC0. Mind this." in streams.err
        assert "has the sha256" in streams.err

        server.add("/own/gold.talp", GOLD.encode())
        assert run("fetch", "own") == 0
        streams = capsys.readouterr()
        assert streams.out.splitlines() == [str(nothing_here / "own" / "text"), str(nothing_here / "own" / "gold.talp")]
        assert [path for path, _ in server.requests].count("/own/text") == 1

        (nothing_here / "own" / "text").write_text("")
        assert run("fetch", "own", "--timeout", "5") == 0
        capsys.readouterr()
    assert run("check", "own") == 0
    assert capsys.readouterr().out == f"own: ok  cache ({nothing_here})\n"


def test_fetching_goes_on_after_a_fault(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as server:
        registries = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            registries.append(tmp_path / name / "registry.toml")
            registries[-1].write_text(own_registry(name, url=f"{server.url}/{name}").replace("own/", f"{name}/"))
        monkeypatch.setenv("ALIGN_EVAL_TESTSETS", ":".join(map(str, registries)))
        server.add("/second/second/text", SENTENCES.encode())
        server.add("/second/second/gold.talp", GOLD.encode())
        assert run("fetch", "first", "second") == 1
    streams = capsys.readouterr()
    assert "first: " in streams.err
    assert "404" in streams.err
    assert "1 of 2 test sets could not be fetched: first" in streams.err
    assert len(streams.out.splitlines()) == 2


def test_check_tells_what_differs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(tmp_path, monkeypatch, sure="1")
    assert run("check", "own", "--json") == 1
    (check,) = json.loads(capsys.readouterr().out)
    assert check["status"] == "differs"
    assert "2 sure links, but the test set 'own' is registered with 1" in check["problems"][0]
    assert run("check", "own") == 1
    assert "registered with 1" in capsys.readouterr().out


@pytest.mark.shared
def test_check_all(capsys: pytest.CaptureFixture[str], gold_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGN_EVAL_DATA", str(gold_folder))
    assert run("check", "all") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 41
    assert all(": ok  " in line for line in lines)


def test_check_all_leaves_out_what_is_not_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "all") == 0
    out = capsys.readouterr().out
    assert "deen-rwth: not fetched" in out
    assert "mini-ende: ok" in out
