"""The look of all figures, in one place: fonts with fallbacks, sizes, colour maps, and how they are saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from align_eval.errors import AlignEvalWarning, InputError
from align_eval.files import StrPath, atomic_writer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Sequential and readable in grey and by colour-blind readers: dark is strong.
STRENGTH_MAP = "Oranges"
GOLD_COLOUR = "#0072B2"  # blue of the Okabe-Ito palette
LINK_COLOUR = "#000000"
ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9  # inches: common column widths of conference papers

# Tried in order; those that are installed are used, each for the glyphs that the ones before it lack.
FONTS = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "SimHei",
    "Noto Sans Devanagari", "Lohit Devanagari", "Noto Sans Arabic", "Noto Sans Hebrew", "Arial Unicode MS",
)  # fmt: skip

FORMATS = ("png", "svg", "pdf")


@lru_cache(maxsize=1)
def installed_fonts() -> tuple[str, ...]:
    """The fonts of ``FONTS`` that this machine has, in their order."""
    from matplotlib import font_manager

    present = {entry.name for entry in font_manager.fontManager.ttflist}
    return tuple(name for name in FONTS if name in present)


@contextmanager
def style(size: float = 8.0) -> Iterator[None]:
    """Matplotlib's settings for the figures of this package, for the time of a ``with`` block.

    Args:
        size: size of the text in points.
    """
    import matplotlib as mpl

    settings: dict[str, Any] = {
        "font.family": list(installed_fonts()) or ["sans-serif"],
        "font.size": size,
        "axes.titlesize": size,
        "axes.linewidth": 0.6,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "svg.hashsalt": "align-eval",
        "savefig.dpi": 200,
    }
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of that size in inches, apart from pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: StrPath) -> None:
    """Write a figure as its name's ending says (png, svg or pdf), whole or not at all.

    Warns:
        AlignEvalWarning: a character has no glyph in any installed font; names the script's remedy.

    Raises:
        InputError: another ending.
        OutputError: the file cannot be written.
    """
    ending = str(path).rpartition(".")[2].lower()
    if ending not in FORMATS:
        raise InputError(f"figures are not written as {ending!r}", file=path, remedy=f"End in {', '.join(FORMATS)}")
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[ending]
    with warnings.catch_warnings(record=True) as caught, style():
        warnings.simplefilter("always")
        with atomic_writer(path, "wb") as stream:
            figure.savefig(stream, format=ending, metadata=metadata, bbox_inches="tight", pad_inches=0.03)
    missing = sorted({str(w.message).split(" (")[0] for w in caught if "missing from" in str(w.message)})
    if missing:
        warnings.warn(
            f"{path}: {len(missing)} characters have no glyph in the installed fonts. Install a font that covers them, "
            "such as Noto Sans CJK (Debian: fonts-noto-cjk) or Noto Sans Devanagari (fonts-noto-core)",
            AlignEvalWarning,
            stacklevel=2,
        )
