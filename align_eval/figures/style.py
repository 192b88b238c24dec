"""The look of all figures: fonts with fallbacks, colours, sizes, labels that read well in every script, and saving."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from align_eval.errors import AlignEvalWarning, InputError, NonFiniteError, UnknownNameError
from align_eval.files import StrPath, atomic_writer
from align_eval.shown import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from numpy.typing import NDArray

STRENGTH_MAP = "Oranges"  # sequential; dark is strong, in grey and for colour-blind readers too
HEAT_MAP = "magma"  # black and dark purple at 0, orange and near white at the top; lightness rises evenly
DIFFERENCE_MAP = "PuOr_r"  # diverging and colour-blind-safe: purple below 0, white at 0, orange above

# The Okabe-Ito palette; black is last so that lines take colours first.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GOLD_COLOUR = "#0072B2"
GOLD_ON_DARK = "#56B4E9"
MASK_COLOUR = "#D55E00"
LINK_COLOUR = "#000000"
QUIET_COLOUR = "#595959"  # text that stands back; 7:1 against white

ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9  # inches: common column widths of conference papers
Width = Literal["one", "two"]
TEXT_SIZE, SMALL_SIZE, MIN_TEXT_SIZE = 8.0, 6.5, 5.0  # points at the printed width
FORMATS = ("png", "svg", "pdf")
PIXELS = 6000  # the longest side of a figure: one of hundreds of words has fewer dots an inch

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

CONTINUED = "·"  # stands before a subword that continues the word of the one before it
SPECIAL = {
    "</s>": "[EOS]", "<eos>": "[EOS]", "<|endoftext|>": "[EOS]", "<s>": "[BOS]", "<bos>": "[BOS]",
    "<mask>": "[MASK]", "[mask]": "[MASK]",
}  # fmt: skip
SPACES = ("▁", "Ġ", "␣")  # SentencePiece, byte-level BPE as stored, and a common stand-in: a word starts here


@lru_cache(maxsize=1)
def installed_fonts() -> tuple[str, ...]:
    """The fonts of :data:`FONTS` on this machine, in that order; those installed since matplotlib listed fonts too."""
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
                continue  # a file that FreeType cannot read
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


@lru_cache(maxsize=1)
def shapes_text() -> bool:
    """Whether matplotlib joins Arabic letters, orders right-to-left text, forms Indic conjuncts: from 3.11 on."""
    from matplotlib.ft2font import FT2Font

    return hasattr(FT2Font, "_layout")


def needs_shaping(text: str) -> bool:
    """Whether ``text`` has letters that are wrong when set one by one from left to right.

    >>> needs_shaping("maison"), needs_shaping("\\u05d1\\u05d9\\u05ea")
    (False, True)
    """
    return any(0x0590 <= ord(c) <= 0x0DFF or 0x0E00 <= ord(c) <= 0x109F or 0xFB1D <= ord(c) <= 0xFEFC for c in text)


def readable_labels(pieces: Sequence[str]) -> list[str]:
    """Subwords as labels that look alike for all tokenizers: bare at the start of a word, else with ``·`` before it.

    SentencePiece and byte-level BPE mark where a word starts, WordPiece (``##``) and subword-nmt (``@@``) where one
    continues. Subwords without any mark stay as they are; a mark that stands alone is ``␣``. End of sentence is
    ``[EOS]``, a mask ``[MASK]``; control characters get visible signs.

    >>> readable_labels(["▁phys", "ik", "alisch", "</s>"])
    ['phys', '·ik', '·alisch', '[EOS]']
    >>> readable_labels(["phys", "##ik"]), readable_labels(["phys@@", "ik"]), readable_labels(["die", "Physik"])
    (['phys', '·ik'], ['phys', '·ik'], ['die', 'Physik'])
    """
    starts = any(piece.startswith(SPACES) for piece in pieces)
    labels = []
    goes_on = False  # the word, after a subword that ends in @@
    begun = False  # a word, by a mark that stands alone
    for piece in pieces:
        if piece in SPECIAL or is_special(piece) or piece in SPACES:
            labels.append("␣" if piece in SPACES else visible(SPECIAL.get(piece, piece)))
            goes_on, begun = False, piece in SPACES
            continue
        ends_open = piece.endswith("@@") and len(piece) > 2
        if piece.startswith(SPACES):
            text = piece[1:]
        elif piece.startswith("##") and len(piece) > 2:
            text = CONTINUED + piece[2:]
        else:
            text = (CONTINUED if (starts and not begun) or goes_on else "") + (piece[:-2] if ends_open else piece)
        goes_on, begun = ends_open, False
        labels.append(visible(text))
    return labels


def is_special(piece: str) -> bool:
    """Whether a subword looks like one that is no text: ``[CLS]``, ``<pad>``, ``>>de<<``, ``__de__``.

    >>> is_special("[MASK]"), is_special("<"), is_special(">>de<<")
    (True, False, True)
    """
    pairs = (("[", "]"), ("<", ">"), (">>", "<<"), ("__", "__"))
    return any(piece.startswith(a) and piece.endswith(b) and len(piece) > len(a) + len(b) for a, b in pairs)


def visible(text: str) -> str:
    """Text with control characters, line ends and spaces as signs, marks of direction as escapes: one visible line.

    >>> visible("a\\nb")
    'a␊b'
    """
    if text.isprintable() and " " not in text:
        return text
    out = []
    for letter in text:
        code = ord(letter)
        if code < 0x20:
            out.append(chr(0x2400 + code))
        elif code == 0x7F:
            out.append("␡")
        elif letter == " ":
            out.append("␣")
        elif unicodedata.category(letter) in ("Cc", "Zs", "Zl", "Zp"):
            out.append("␤" if letter in "\x85\u2028\u2029" else "␣")
        else:
            out.append(shown(letter))
    return "".join(out)


def column_label(text: str) -> tuple[str, float]:
    """How a label stands under a column: its text and its rotation in degrees.

    Chinese, Japanese and Korean labels are written downwards, one letter a line; single letters stand upright;
    everything else is turned by 90 degrees.

    >>> column_label("house"), column_label("物理"), column_label("?")
    (('house', 90.0), ('物\\n理', 0.0), ('?', 0.0))
    """
    letters = text.removeprefix(CONTINUED)
    if letters and all(unicodedata.east_asian_width(letter) in "WF" for letter in letters):
        return (CONTINUED + "\n" if text != letters else "") + "\n".join(letters), 0.0
    return text, 0.0 if len(text) == 1 else 90.0


def text_style(text: str) -> dict[str, Any]:
    """Arguments of a matplotlib text for ``text``: its fonts by script, no formulas, lines close together."""
    return {"family": families(text), "parse_math": False, "linespacing": 1.0}


def measure(labels: Sequence[str], *, columns: bool = False, bold: Collection[int] = ()) -> NDArray[np.float64]:
    """Width and height of each label as it is drawn, ``(n, 2)``, in units of the size of the text.

    ``columns``: as they stand under columns (:func:`column_label`); ``bold``: positions of labels drawn bold (if they
    are ASCII: not every font has bold letters).
    """
    turned = [column_label(text) if columns else (text, 0.0) for text in map(shown, labels)]
    sizes = [_measured(*turn, k in bold and turn[0].isascii()) for k, turn in enumerate(turned)]
    return np.array(sizes, dtype=np.float64).reshape(-1, 2)


@lru_cache(maxsize=1 << 14)
def _measured(text: str, rotation: float, bold: bool) -> tuple[float, float]:
    size = 72.0
    with settings(size):
        figure = new_figure(1, 1, placed=True)
        figure.dpi = 72
        weight = "bold" if bold else "normal"
        drawn = figure.text(0, 0, text, rotation=rotation, **text_style(text), weight=weight)
        box = drawn.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    return float(box.width) / size, float(box.height) / size


def wrap(text: str, size: float, inches: float) -> list[str]:
    """Text in lines of at most ``inches`` at ``size`` points, broken at spaces; a longer word stands alone."""
    words = text.split(" ")
    widths = measure(words)[:, 0] * size / 72
    space = 0.32 * size / 72
    lines: list[list[str]] = [[]]
    used = 0.0
    for word, width in zip(words, widths, strict=True):
        if lines[-1] and used + space + width > inches:
            lines.append([])
            used = 0.0
        used += width + (space if lines[-1] else 0.0)
        lines[-1].append(word)
    return [" ".join(line) for line in lines]


def label_rows(axes: Axes, labels: Sequence[str], size: float) -> list[Text]:
    """Write labels beside the rows of a map, row k at height k; returns the texts."""
    axes.set_yticks(range(len(labels)), [shown(label) for label in labels])
    texts = axes.get_yticklabels()
    for text in texts:
        text.set(fontsize=size, verticalalignment="center", **text_style(text.get_text()))  # centre of the letters' box
    return texts


def label_columns(axes: Axes, labels: Sequence[str], size: float) -> list[Text]:
    """Write labels under the columns of a map, column k at k, each as :func:`column_label` says; returns the texts."""
    turned = [column_label(shown(label)) for label in labels]
    axes.set_xticks(range(len(labels)), [text for text, _ in turned])
    texts = axes.get_xticklabels()
    for text, (_, rotation), label in zip(texts, turned, labels, strict=True):
        text.set(fontsize=size, rotation=rotation, rotation_mode="default", **text_style(shown(label)))
    return texts


def width_in_inches(width: Width | None) -> float | None:
    """The width of a figure for one or two columns of a paper; ``None`` stays ``None``.

    Raises:
        UnknownNameError: another name.
    """
    widths = {"one": ONE_COLUMN, "two": TWO_COLUMNS}
    if width is not None and width not in widths:
        raise UnknownNameError("figure width", width, widths)
    return None if width is None else widths[width]


def check_map(values: NDArray[np.floating], rows: int, columns: int, of: str) -> None:
    """Check that a map to draw is ``(rows, columns)``, not empty and finite; ``of``: what it is of, for the message.

    Raises:
        InputError: another shape, or an empty one.
        NonFiniteError: NaN or infinity.
    """
    if np.shape(values) != (rows, columns):
        raise InputError(f"a map of shape {np.shape(values)} for {of}")
    if not rows * columns:
        raise InputError(f"a map of {rows} rows and {columns} columns cannot be drawn")
    if not np.isfinite(values).all():
        raise NonFiniteError(
            "a map to draw has NaN or infinite values", remedy="Leave them out, or mend what made them"
        )


@contextmanager
def settings(size: float = TEXT_SIZE) -> Iterator[None]:
    """Matplotlib's settings for the figures of this package, text of ``size`` points, for the time of a ``with`` block.

    They start from matplotlib's defaults, so that a user's settings (LaTeX text, style sheets, layouts) neither change
    nor break a figure; after the block they are as they were.
    """
    import matplotlib as mpl

    wanted: dict[str, Any] = {
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
        sheets.use(["default", wanted])
        yield


def new_figure(width: float, height: float, *, placed: bool = False) -> Figure:
    """A figure of that size in inches, apart from pyplot's global state.

    ``placed``: the caller places all axes itself, and the figure is saved at exactly this size. Otherwise matplotlib's
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


def plain_axes(axes: Axes, x: str, y: str, size: float = TEXT_SIZE, *, grid: Literal["y", "both"] = "both") -> None:
    """Axes of curves: names of both, a light grid behind, no frame above and at the right."""
    axes.set_xlabel(x, fontsize=size, labelpad=2)
    axes.set_ylabel(y, fontsize=size, labelpad=2)
    axes.tick_params(labelsize=0.9 * size, pad=2)
    axes.grid(axis=grid, color="#E0E0E0", lw=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def colour_bar(figure: Figure, image: Any, name: str, size: float = TEXT_SIZE, **where: Any) -> Any:
    """A colour bar without a frame, with the name of what it shows; ``where`` is matplotlib's: ``ax``, ``cax`` ..."""
    bar = figure.colorbar(image, **where)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=size, pad=2, length=0)
    bar.set_label(name, fontsize=size, labelpad=2)
    return bar


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
    faults = []
    if missing:
        faults.append(f"{missing} characters have no glyph in the installed fonts. {REMEDY}")
    if not shapes_text() and any(needs_shaping(text) for text in texts_of(figure)):
        faults.append(
            "this version of matplotlib does not join or order the letters of all scripts of the figure. "
            "Install matplotlib 3.11 or newer (it needs Python 3.11)"
        )
    for fault in faults:
        warnings.warn(f"{path}: {fault}", AlignEvalWarning, stacklevel=2)


def to_bytes(figure: Figure, ending: str = "png") -> bytes:
    """The figure as the content of a png, svg or pdf file."""
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
    with warnings.catch_warnings(record=True) as caught, settings():
        warnings.simplefilter("always")
        dots = min(float(mpl.rcParams["savefig.dpi"]), PIXELS / max(figure.get_size_inches()))
        figure.savefig(buffer, format=ending, metadata=metadata, dpi=dots, **trim)
    missing = {str(w.message).split(" (")[0] for w in caught if "missing from" in str(w.message)}
    return buffer.getvalue(), len(missing)
