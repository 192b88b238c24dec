"""Results written to a folder: scores as JSON, links a system, figures, and where they come from."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align_eval.corpora import write_links
from align_eval.files import StrPath, atomic_writer, output_errors
from align_eval.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from align_eval.runs.evaluate import Evaluation


def environment() -> dict[str, str]:
    """Versions that numbers can depend on: this package, Python, numpy, torch, transformers, the machine's kind."""
    from importlib.metadata import version

    packages = {name: version(name) for name in ("numpy", "torch", "transformers", "tokenizers")}
    return {"align-eval": __version__, "python": platform.python_version(), "machine": platform.machine(), **packages}


def make_folder(folder: StrPath) -> Path:
    """Create ``folder`` (and those above it) and return it."""
    path = Path(folder)
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_json(path: StrPath, data: Any) -> None:
    """Write ``data`` as indented JSON, whole or not at all."""
    with atomic_writer(path) as stream:
        json.dump(data, stream, indent=2, ensure_ascii=False)
        stream.write("\n")


def write_figure(figure: Figure, folder: StrPath, name: str, endings: Sequence[str] = ()) -> list[Path]:
    """Write a figure as ``FOLDER/NAME.png``, ... for each of the endings (default: all); returns the paths."""
    from align_eval.figures.style import FORMATS, save

    paths = [make_folder(folder) / f"{name}.{ending}" for ending in endings or FORMATS]
    for path in paths:
        save(figure, path)
    return paths


def file_name(*parts: object) -> str:
    """A file name of letters, digits, ``.``, ``-`` and ``_`` from the parts given.

    >>> file_name("deen-rwth", "softmax:threshold=0.01", "layer7")
    'deen-rwth.softmax-threshold-0.01.layer7'
    """
    return ".".join(re.sub(r"[^\w.-]+", "-", str(part)).strip("-") for part in parts if part is not None)


def links_file(testset: str, method: str, layer: int | None, head: str = "", mode: str = "", sym: str = "") -> str:
    """The name of the file of a system's links.

    >>> links_file("mini-ende", "argmax", 7), links_file("mini-ende", "reverse", None, "L2H1", "awi")
    ('mini-ende.argmax.layer7.talp', 'mini-ende.reverse.L2H1.awi.talp')
    """
    parts = (testset, method, None if layer is None else f"layer{layer}", head or None, mode or None, sym or None)
    return file_name(*parts) + ".talp"


def write_evaluations(found: Sequence[Evaluation], folder: StrPath) -> list[Path]:
    """Write ``scores.json`` and ``links/`` (a Pharaoh file a system, whose paths are returned) into ``folder``."""
    base = make_folder(folder)
    links = make_folder(base / "links")
    paths = []
    for evaluation in found:
        system = evaluation.system
        path = links / links_file(evaluation.testset, system.method, system.layer, system.head, system.mode, system.sym)
        write_links(os.fspath(path), evaluation.links, format="pharaoh", base=0)
        paths.append(path)
    write_json(base / "scores.json", {"environment": environment(), "systems": [e.to_json() for e in found]})
    return paths
