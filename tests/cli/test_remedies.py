"""Remedies name options that exist, in the commands whose users read them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer

import align_eval
from align_eval.cli import build_app
from align_eval.corpora.formats import FORMATS
from align_eval.registry import parse_options, split_spec

PACKAGE = Path(align_eval.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
# Options of other programs that remedies name.
FOREIGN = {
    "--help", "--noout", "--force-reinstall", "--no-cache-dir", "--no-deps", "--only-binary", "--no-input",
    "--disable-pip-version-check", "--quiet", "--dest", "--platform",
}  # fmt: skip


def texts() -> list[tuple[str, str]]:
    """Every text of the package that may be shown, and the file that it stands in; f-strings with ... for values."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        documented = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values]
                found.append((str(path.relative_to(PACKAGE)), "".join(parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented | inner:
                found.append((str(path.relative_to(PACKAGE)), node.value))
    return found


def commands() -> dict[str, set[str]]:
    """The options of every command."""
    found: dict[str, set[str]] = {}

    def visit(command: Any, name: str) -> None:
        for key, below in getattr(command, "commands", {}).items():
            visit(below, f"{name} {key}".strip())
        found[name] = {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}

    visit(typer.main.get_command(build_app()), "")
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    return commands()


def test_every_option_named_exists(known: dict[str, set[str]]) -> None:
    every = {option for options in known.values() for option in options} | FOREIGN
    wrong = [
        (file, option, text[:120]) for file, text in texts() for option in OPTION.findall(text) if option not in every
    ]
    assert wrong == []


def test_commands_that_read_sentences_take_the_options_of_their_readers(known: dict[str, set[str]]) -> None:
    reading = {name for name, options in known.items() if "--bitext" in options or {"--source", "--target"} <= options}
    assert {"align", "score", "convert", "symmetrize", "evaluate", "infill"} <= reading
    assert {name for name in reading if "--bitext-format" not in known[name]} == set()


def test_specs_of_formats_in_texts_can_be_parsed() -> None:
    specs = [
        (file, match[1])
        for file, text in texts()
        for match in re.finditer(r"(?:--bitext-format |or )((?:auto|[a-z]+):[a-z_]+=[\w+=.,-]*)", text)
        if match[1].partition(":")[0] in ("auto", *FORMATS.names())
    ]
    assert len(specs) > 6
    for file, spec in specs:
        name, options = split_spec(spec.rstrip(",.").replace("...", "1"))
        readers = [reader for form, reader in FORMATS.items() if name in ("auto", form)]
        keys = [part.partition("=")[0] for part in options.split(",")]
        fitting = [reader for reader in readers if all(key in reader.options for key in keys)]
        assert fitting, (file, spec)
        complete = [part for part in options.rstrip("+").split(",") if part.partition("=")[2].strip("+")]
        parse_options(f"the bitext format {name}", ",".join(complete), fitting[0].options)
