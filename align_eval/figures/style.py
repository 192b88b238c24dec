"""The look of all figures, in one place: fonts with fallbacks, sizes, colour maps, and how they are saved."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from align_eval.errors import AlignEvalWarning, InputError, UnknownNameError
from align_eval.files import StrPath, atomic_writer
from align_eval.shown import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

STRENGTH_MAP = "Oranges"
"""Sequential and readable in grey and by colour-blind readers: dark is strong."""
HEAT_MAP = "magma"
"""Black and dark purple at 0, orange and near white at the top; lightness rises evenly."""
DIFFERENCE_MAP = "PuOr_r"
"""Diverging and colour-blind-safe: purple below 0, white at 0, orange above."""

# The Okabe-Ito palette; black is last so that lines take colours first.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GOLD_COLOUR = "#0072B2"
GOLD_ON_DARK = "#56B4E9"
MASK_COLOUR = "#D55E00"
LINK_COLOUR = "#000000"
QUIET_COLOUR = "#595959"  # text that stands back; 7:1 against white

ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9  # inches: common column widths of conference papers
Width = Literal["one", "two"]
TEXT_SIZE, MIN_TEXT_SIZE = 8.0, 5.0  # points at the printed width

# Tried in order; those that are installed are used, each for the glyphs that the ones before it lack. DejaVu Sans comes
# with matplotlib, so that Latin, Greek and Cyrillic text looks the same everywhere.
FONTS = (
    "DejaVu Sans", "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Lohit Devanagari",
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "SimHei", "Noto Sans Bengali",
    "Noto Sans Tamil", "Noto Sans Telugu", "Noto Sans Thai", "Noto Sans Gujarati", "Noto Sans Gurmukhi",
    "Noto Sans Kannada", "Noto Sans Malayalam", "Noto Sans Sinhala", "Noto Sans Khmer", "Noto Sans Lao",
    "Noto Sans Myanmar", "Noto Sans Ethiopic", "Noto Sans Georgian", "Noto Sans Armenian", "Noto Sans Symbols2",
    "Arial Unicode MS",
)  # fmt: skip
# For text in these ranges the fonts named come first: DejaVu Sans has some of the letters too, but draws them worse.
SCRIPTS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0x0590, 0x05FF, ("Noto Sans Hebrew",)),
    (0x0600, 0x08FF, ("Noto Sans Arabic",)),
    (0x0900, 0x097F, ("Noto Sans Devanagari", "Lohit Devanagari")),
    (0xFB1D, 0xFB4F, ("Noto Sans Hebrew",)),
    (0xFB50, 0xFEFC, ("Noto Sans Arabic",)),
)
REMEDY = (
    "Install fonts that cover them (Debian: fonts-noto-core for Arabic, Hebrew, Indic and most other scripts, "
    "fonts-droid-fallback or fonts-noto-cjk for Chinese, Japanese and Korean)"
)

FORMATS = ("png", "svg", "pdf")


@lru_cache(maxsize=1)
def installed_fonts() -> tuple[str, ...]:
    """The fonts of ``FONTS`` that this machine has, in their order.

    Fonts installed since matplotlib wrote its own list are found too.
    """
    from matplotlib import font_manager

    manager = font_manager.fontManager
    known = {Path(entry.fname) for entry in manager.ttflist}
    wanted = tuple(name.replace(" ", "").lower() for name in FONTS)
    for path in sorted(Path(file) for file in font_manager.findSystemFonts()):
        stem = path.stem.replace("wqy-", "wenquanyi").lower()
        name, _, face = stem.partition("-")
        if path not in known and name.startswith(wanted) and face in ("", "regular", "bold"):
            try:
                manager.addfont(path)
            except (OSError, RuntimeError, ValueError):
                continue  # a file that FreeType cannot read is no font of ours
    present = {entry.name for entry in manager.ttflist}
    return tuple(name for name in FONTS if name in present)


def families(text: str) -> list[str]:
    """The installed fonts in the order in which they should draw ``text``.

    >>> families("house")[0]
    'DejaVu Sans'
    """
    fonts = list(installed_fonts()) or ["sans-serif"]
    if text.isascii():
        return fonts[:1]
    first = {
        name for start, end, names in SCRIPTS for name in names if any(start <= ord(letter) <= end for letter in text)
    }
    return [name for name in fonts if name in first] + [name for name in fonts if name not in first]


def covers(text: str) -> bool:
    """Whether the installed fonts have a glyph for every letter of ``text``.

    >>> covers("house")
    True
    """
    return all(ord(letter) in _glyphs() for letter in text)


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    from matplotlib import font_manager

    found: set[int] = set()
    for name in installed_fonts():
        path = font_manager.findfont(font_manager.FontProperties(family=[name]))
        found.update(font_manager.get_font(path).get_charmap())
    return frozenset(found)


@lru_cache(maxsize=1)
def shapes_text() -> bool:
    """Whether this matplotlib shapes text: joins Arabic letters, orders right-to-left text, forms Indic conjuncts.

    Versions from 3.11 on do (they lay text out with libraqm).
    """
    from matplotlib.ft2font import FT2Font

    return hasattr(FT2Font, "_layout")


def needs_shaping(text: str) -> bool:
    """Whether ``text`` has letters that are wrong when set one by one from left to right.

    >>> needs_shaping("maison"), needs_shaping("\\u05d1\\u05d9\\u05ea")
    (False, True)
    """
    return any(0x0590 <= ord(c) <= 0x0DFF or 0x0E00 <= ord(c) <= 0x109F or 0xFB1D <= ord(c) <= 0xFEFC for c in text)


def width_in_inches(width: Width | None) -> float | None:
    """The width of a figure for one or two columns of a paper; ``None`` stays ``None``.

    Raises:
        UnknownNameError: another name.
    """
    widths = {"one": ONE_COLUMN, "two": TWO_COLUMNS}
    if width is not None and width not in widths:
        raise UnknownNameError("figure width", width, widths)
    return None if width is None else widths[width]


@contextmanager
def style(size: float = TEXT_SIZE) -> Iterator[None]:
    """Matplotlib's settings for the figures of this package, for the time of a ``with`` block.

    They start from matplotlib's defaults, so that a user's settings (LaTeX text, style sheets, layouts) neither change
    nor break a figure; after the block they are as they were.

    Args:
        size: size of the text in points.
    """
    import matplotlib as mpl

    settings: dict[str, Any] = {
        "font.family": list(installed_fonts()) or ["sans-serif"],
        "font.size": size,
        "text.hinting": "no_hinting",  # text is as wide at every resolution as it was measured
        "text.parse_math": False,  # a dollar sign in a sentence is a dollar sign
        "axes.titlesize": size,
        "axes.linewidth": 0.6,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "svg.hashsalt": "align-eval",
        "savefig.dpi": 200,
    }
    from matplotlib import style as sheets

    with mpl.rc_context():
        sheets.use(["default", settings])
        yield


def new_figure(width: float, height: float, *, placed: bool = False) -> Figure:
    """A figure of that size in inches, apart from pyplot's global state.

    Args:
        width, height: inches.
        placed: the caller places all axes itself, and the figure is saved at exactly this size. Otherwise matplotlib's
            constrained layout places them, and :func:`save` trims the border.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=None if placed else "constrained")
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at inches from the left and from the upper edge of a figure."""
    wide, high = figure.get_size_inches()
    return figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))


def text_at(figure: Figure, left: float, top: float, text: str, **style: Any) -> None:
    """Write a text at inches from the left and from the upper edge of a figure, in the fonts of its script."""
    wide, high = figure.get_size_inches()
    figure.text(left / wide, 1 - top / high, text, family=families(text), parse_math=False, **style)


def colour_bar(figure: Figure, image: Any, name: str, size: float = TEXT_SIZE, **where: Any) -> Any:
    """A colour bar without a frame, with the name of what it shows; ``where`` is matplotlib's: ``ax``, ``cax`` ..."""
    bar = figure.colorbar(image, **where)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=size, pad=2, length=0)
    bar.set_label(name, fontsize=size, labelpad=2)
    return bar


PIXELS = 6000
"""The longest side of a figure in pixels: a figure of hundreds of words has fewer dots an inch."""


def save(figure: Figure, path: StrPath) -> None:
    """Write a figure as its name's ending says (png, svg or pdf), whole or not at all.

    Warns:
        AlignEvalWarning: a character has no glyph in any installed font, or a script needs a newer matplotlib; names
            the remedy.

    Raises:
        InputError: another ending.
        OutputError: the file cannot be written.
    """
    ending = str(path).rpartition(".")[2].lower()
    if ending not in FORMATS:
        raise InputError(f"figures are not written as {ending!r}", file=path, remedy=f"End in {', '.join(FORMATS)}")
    content, missing = _render(figure, ending)
    with atomic_writer(path, "wb") as stream:
        stream.write(content)  # type: ignore[arg-type]
    if missing:
        warnings.warn(
            f"{path}: {missing} characters have no glyph in the installed fonts. {REMEDY}",
            AlignEvalWarning,
            stacklevel=2,
        )
    if not shapes_text() and any(needs_shaping(text) for text in texts_of(figure)):
        warnings.warn(
            f"{path}: this version of matplotlib does not join or order the letters of all scripts of the figure. "
            "Install matplotlib 3.11 or newer (it needs Python 3.11)",
            AlignEvalWarning,
            stacklevel=2,
        )


def to_bytes(figure: Figure, ending: str = "png") -> bytes:
    """The figure as the content of a png, svg or pdf file.

    Raises:
        InputError: another format.
    """
    if ending not in FORMATS:
        raise InputError(f"figures are not written as {ending!r}", remedy=f"Choose {', '.join(FORMATS)}")
    return _render(figure, ending)[0]


def texts_of(figure: Figure) -> list[str]:
    """All text on a figure that is not empty."""
    return [text.get_text() for text in _texts(figure) if text.get_text()]


def _texts(figure: Figure) -> list[Text]:
    from matplotlib.text import Text

    return [text for text in figure.findobj(Text) if isinstance(text, Text)]


def _render(figure: Figure, ending: str) -> tuple[bytes, int]:
    """The file's bytes, and how many different characters had no glyph."""
    import matplotlib as mpl

    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[ending]
    trim: dict[str, Any] = {} if figure.get_layout_engine() is None else {"bbox_inches": "tight", "pad_inches": 0.03}
    buffer = io.BytesIO()
    for text in _texts(figure):  # a control character would make an SVG that no XML reader takes
        lines = "\n".join(map(shown, text.get_text().split("\n")))
        if lines != text.get_text():
            text.set_text(lines)
    with warnings.catch_warnings(record=True) as caught, style():
        warnings.simplefilter("always")
        dots = min(float(mpl.rcParams["savefig.dpi"]), PIXELS / max(figure.get_size_inches()))
        figure.savefig(buffer, format=ending, metadata=metadata, dpi=dots, **trim)
    missing = {str(w.message).split(" (")[0] for w in caught if "missing from" in str(w.message)}
    return buffer.getvalue(), len(missing)
