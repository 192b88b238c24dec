"""Imports go one way: a folder imports from those above it in the list alone; no modules import in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "align_eval"
ORDER = (
    ("version", "shown", "errors", "registry", "processes"),
    ("native",),
    ("files", "first_bytes", "io"),
    ("statistics", "tables"),
    ("links",),
    ("corpora",),
    ("models",),
    ("attribution",),
    ("extraction",),
    ("aligners",),
    ("scoring",),
    ("training",),
    ("infilling",),
    ("patterns",),
    ("report",),
    ("figures",),
    ("runs", "translation"),
    ("__init__", "__main__", "cli"),
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
BACK = {
    ("io.parts", "corpora.words"),  # words of a line of JSON, for its row of Parquet
    ("attribution.matrix", "figures.heatmap"),  # what a notebook shows of a score matrix
}
"""Imports that run back all the same."""


def modules() -> dict[str, ast.Module]:
    """The modules of the package, by their name below it."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules()


def imports(name: str, *, late: bool) -> Iterator[str]:
    """The modules that a module imports, with ``late`` those within functions too; for types alone: none."""

    def below(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not late:
                continue
            if isinstance(child, ast.ImportFrom) and (child.module or "").startswith("align_eval."):
                home = str(child.module).removeprefix("align_eval.")
                yield from (f"{home}.{a.name}" if f"{home}.{a.name}" in MODULES else home for a in child.names)
            yield from below(child)

    yield from below(MODULES[name])


def folder(name: str) -> str:
    return name.partition(".")[0]


def test_every_folder_has_its_place() -> None:
    assert {folder(name) for name in MODULES} == set(RANK)


def test_no_import_runs_back() -> None:
    back = {
        (name, other)
        for name in MODULES
        for other in imports(name, late=True)
        if RANK[folder(other)] > RANK[folder(name)]
    }
    assert back == BACK


def test_no_circle() -> None:
    """Depth first over what modules import as they are loaded."""
    state: dict[str, int] = {}
    circles: list[list[str]] = []

    def visit(name: str, path: list[str]) -> None:
        state[name] = 1
        for other in imports(name, late=False):
            if state.get(other) == 1 and other != name and not name.startswith(f"{other}."):
                circles.append([*path[path.index(other) if other in path else 0 :], other])
            elif other not in state:
                visit(other, [*path, other])
        state[name] = 2

    for name in MODULES:
        if name not in state:
            visit(name, [name])
    assert not circles
