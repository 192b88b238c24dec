"""``align-eval plot``: figures with their summaries. One file a figure, with a function of its name."""

from __future__ import annotations

import importlib
import pkgutil

import typer

from align_eval.cli._options import command


def add_to(app: typer.Typer) -> None:
    """Register the command and, under it, each figure."""
    plot_app = typer.Typer(
        name="plot",
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Draw figures (PNG, SVG, PDF), each with a summary: what it shows, computed, as JSON and Markdown.",
    )
    for name in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")):
        command(plot_app)(getattr(importlib.import_module(f"{__name__}.{name}"), name))
    app.add_typer(plot_app)
