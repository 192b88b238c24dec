"""What is loaded when: commands that need no model start without the heavy packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from align_eval.cli import build_app, main

HEAVY = ("torch", "transformers", "datasets", "sacrebleu", "scipy", "matplotlib", "pandas", "pyarrow", "rich")


def loaded(words: list[str], folder: Path, watched: tuple[str, ...]) -> list[str]:
    """Those of ``watched`` that are loaded once ``align-eval WORDS`` has run in a new process, without an error."""
    program = (
        "import sys\n"
        "from align_eval.cli import main\n"
        "try:\n"
        f"    main({words!r})\n"
        "except SystemExit as left:\n"
        "    assert not left.code, left.code\n"
        f"sys.stderr.write('\\n' + ' '.join(m for m in {watched!r} if m in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.rpartition("\n")[2].split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gold").write_text("0-0 1-1\n0-0\n")
    (tmp_path / "links").write_text("0-0 1?1\n0-0 1-0\n")
    (tmp_path / "text").write_text("a b ||| c d\ne f ||| g\n")
    return tmp_path


def test_import_loads_neither_numpy_nor_anything_heavy() -> None:
    program = f"import sys, align_eval\nprint([m for m in {('numpy', 'typer', *HEAVY)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "words",
    [
        ["score", "gold", "links"],
        ["score", "gold", "links", "gold", "--bitext", "text", "--json"],
        ["score", "mini-ende", "mini"],
        ["convert", "links", "out.talp"],
        ["symmetrize", "links", "gold", "--method", "union"],
    ],
)
def test_scores_and_links_need_nothing_heavy(words: list[str], folder: Path) -> None:
    (folder / "mini").write_text("\n" * 40)
    # Nothing but fetching needs the network, nothing but TMX needs XML.
    assert loaded(words, folder, (*HEAVY, "ssl", "http.client", "xml.sax")) == []


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["score", "--help"], ["align", "--help"], ["testsets", "list"]]
)
def test_help_and_lists_need_no_numpy(words: list[str], folder: Path) -> None:
    assert loaded(words, folder, ("numpy", *HEAVY)) == []


def test_models_list_needs_nothing_heavy(folder: Path) -> None:
    assert loaded(["models", "list"], folder, HEAVY) == []


def test_a_command_imports_its_own_file_only(folder: Path) -> None:
    commands = tuple(f"align_eval.cli.{name}" for name in ("align", "convert", "evaluate", "models", "score"))
    assert loaded(["score", "gold", "links"], folder, commands) == ["align_eval.cli.score"]
    assert loaded(["--help"], folder, commands) == list(commands)


def test_every_command_stands_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    for name in ("align", "convert", "demo", "evaluate", "models", "run", "score", "symmetrize", "testsets"):
        assert f"\n  {name} " in out
    assert [len(build_app(words).registered_commands) for words in (["score"], ["--help", "score"], ["scoer"])] == [
        1, len(build_app().registered_commands), len(build_app().registered_commands),
    ]  # fmt: skip


def test_an_unknown_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["scoer"])
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert "'scoer'" in err
