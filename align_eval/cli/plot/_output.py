"""What all figures of ``align-eval plot`` share: where figure and summary go."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from align_eval.shown import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from align_eval.report.summary import Summary

OUTPUT = typer.Option(
    None,
    "--output",
    "-o",
    metavar="FILE",
    help="Write the figure here, as the ending says: png, svg or pdf; may be given several times. Its summary is "
    "written beside it, as .json and .md.",
)
JSON = typer.Option(False, "--json", help="Print the summary as JSON to standard output, and nothing else.")


def check_outputs(outputs: Sequence[str] | None) -> list[str]:
    """The files to write, checked before any work is done.

    Raises:
        typer.BadParameter: an ending that is no format of figures.
    """
    from align_eval.figures.style import FORMATS

    for name in outputs or ():
        if Path(name).suffix.lower().lstrip(".") not in FORMATS:
            raise typer.BadParameter(f"{name}: write a figure as one of {', '.join(FORMATS)}", param_hint="--output")
    return list(outputs or ())


def finish(draw: Callable[[], Figure], summary: Summary, outputs: Sequence[str], as_json: bool) -> None:
    """Write the figure to each of ``outputs`` and the summary beside it; print the summary.

    Args:
        draw: makes the figure; called only if there is somewhere to write it.
        summary: printed as Markdown, or as JSON alone.
        outputs: of :func:`check_outputs`; the folder of each is made if need be.
        as_json: print JSON.

    Raises:
        OutputError: a file cannot be written.
    """
    written: list[Path] = []
    if outputs:
        from align_eval.figures.style import save
        from align_eval.runs.results import make_folder

        figure = draw()
        for name in outputs:
            make_folder(Path(name).parent)
            save(figure, name)
            written.append(Path(name))
        for path in dict.fromkeys(Path(name).with_suffix("") for name in outputs):
            written += summary.write(path.parent, path.name)
    if as_json:
        sys.stdout.write(json.dumps(summary.to_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(summary.to_markdown())
    if written:
        sys.stderr.write("Written: " + ", ".join(shown(str(path)) for path in written) + "\n")
