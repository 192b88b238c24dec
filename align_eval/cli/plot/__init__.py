"""``align-eval plot``: figures with their summaries. One file a figure: each module here registers itself."""

from __future__ import annotations

import importlib
import pkgutil

import typer


def add_to(app: typer.Typer) -> None:
    """Register the command and, under it, each figure: every module here registers itself with ``add_to``."""
    plot_app = typer.Typer(
        name="plot",
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Draw figures (PNG, SVG, PDF), each with a summary: what it shows, computed, as JSON and Markdown.",
    )
    for name in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")):
        importlib.import_module(f"{__name__}.{name}").add_to(plot_app)
    app.add_typer(plot_app)
