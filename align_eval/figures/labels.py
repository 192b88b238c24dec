"""Labels of rows and columns: marks of subwords that read well, every script upright and shaped, sizes, brackets."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.figures.style import families, new_figure, style
from align_eval.shown import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from numpy.typing import NDArray

CONTINUED = "·"
"""Stands before a subword that goes on with the word of the one before it."""
SPECIAL = {
    "</s>": "[EOS]", "<eos>": "[EOS]", "<|endoftext|>": "[EOS]", "<s>": "[BOS]", "<bos>": "[BOS]",
    "<mask>": "[MASK]", "[mask]": "[MASK]",
}  # fmt: skip
SPACES = ("▁", "Ġ", "␣")  # SentencePiece, byte-level BPE as stored, and a common stand-in: a word starts here
LINE_SPACING = 1.0
ARM = 0.05  # inches of a bracket's two ends
GAP = 0.03  # between a bracket and its name
INK = "#333333"
Span = tuple[str, int, int]
"""A name, the first row or column and the last + 1, 0-based."""


def readable_labels(pieces: Sequence[str]) -> list[str]:
    """Subwords as labels: the start of a word is bare, a subword that goes on with one has ``·`` before it.

    So all tokenizers look alike: SentencePiece and byte-level BPE mark where a word starts, WordPiece (``##``) and
    subword-nmt (``@@``) where one goes on. Subwords without any mark (words, or a WordPiece side whose words are all
    whole) stay as they are; a mark that stands alone is ``␣``. End of sentence is ``[EOS]``, a mask ``[MASK]``;
    control characters get visible signs.

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


def is_ideographic(text: str) -> bool:
    """Whether all letters of ``text`` stand upright when it is written downwards: Han, Kana, Hangul and their signs.

    >>> is_ideographic("物理"), is_ideographic("·理"), is_ideographic("A4")
    (True, True, False)
    """
    letters = text.removeprefix(CONTINUED)
    return bool(letters) and all(unicodedata.east_asian_width(letter) in "WF" for letter in letters)


def column_label(text: str) -> tuple[str, float]:
    """How a label stands under a column: its text and its rotation in degrees.

    Chinese, Japanese and Korean labels are written downwards, one letter a line; single letters stand upright;
    everything else is turned by 90 degrees.

    >>> column_label("house"), column_label("物理"), column_label("?")
    (('house', 90.0), ('物\\n理', 0.0), ('?', 0.0))
    """
    if is_ideographic(text):
        mark, letters = (CONTINUED + "\n", text[1:]) if text.startswith(CONTINUED) else ("", text)
        return mark + "\n".join(letters), 0.0
    if len(text) == 1:
        return text, 0.0
    return text, 90.0


def measure(labels: Sequence[str], *, columns: bool = False, bold: Collection[int] = ()) -> NDArray[np.float64]:
    """Width and height of each label as it is drawn, ``(n, 2)``, in units of the size of the text.

    Args:
        labels: as :func:`readable_labels` gives them.
        columns: as they stand under columns (:func:`column_label`) and not beside rows.
        bold: positions of labels that are drawn bold (if they are ASCII: not every font has bold letters).
    """
    turned = [column_label(text) if columns else (text, 0.0) for text in map(shown, labels)]
    sizes = [_measured(*turn, k in bold and turn[0].isascii()) for k, turn in enumerate(turned)]
    return np.array(sizes, dtype=np.float64).reshape(-1, 2)


@lru_cache(maxsize=1 << 14)
def _measured(text: str, rotation: float, bold: bool) -> tuple[float, float]:
    size = 72.0
    with style(size):
        figure = new_figure(1, 1, placed=True)
        figure.dpi = 72
        weight = "bold" if bold else "normal"
        drawn = figure.text(0, 0, text, rotation=rotation, **text_style(text), weight=weight)
        box = drawn.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    return float(box.width) / size, float(box.height) / size


def text_style(text: str) -> dict[str, Any]:
    """Arguments of a matplotlib text for ``text``: its fonts by script, no formulas, lines close together."""
    return {"family": families(text), "parse_math": False, "linespacing": LINE_SPACING}


def label_rows(axes: Axes, labels: Sequence[str], size: float, *, at: Sequence[float] | None = None) -> list[Text]:
    """Write labels beside the rows of a map, row k at height k (or ``at[k]``); returns the texts."""
    labels = [shown(label) for label in labels]
    axes.set_yticks(list(range(len(labels)) if at is None else at), labels)
    texts = [_restyle(tick, label, size) for tick, label in zip(axes.get_yticklabels(), labels, strict=True)]
    for text in texts:
        text.set_verticalalignment("center")  # of the letters' box: scripts differ in where they lie on the line
    return texts


def label_columns(axes: Axes, labels: Sequence[str], size: float, *, at: Sequence[float] | None = None) -> list[Text]:
    """Write labels under the columns of a map, each as :func:`column_label` says; returns the texts."""
    labels = [shown(label) for label in labels]
    turned = [column_label(label) for label in labels]
    axes.set_xticks(list(range(len(labels)) if at is None else at), [text for text, _ in turned])
    texts = [_restyle(tick, label, size) for tick, label in zip(axes.get_xticklabels(), labels, strict=True)]
    for text, (_, rotation) in zip(texts, turned, strict=True):
        text.set_rotation(rotation)
        text.set_rotation_mode("default")
    return texts


def _restyle(text: Text, label: str, size: float) -> Text:
    text.set_fontsize(size)
    text.set_fontfamily(families(label))
    text.set_parse_math(False)
    text.set_linespacing(LINE_SPACING)
    return text


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


def bracket_below(axes: Axes, groups: Sequence[Span], offset: float, size: float) -> float:
    """Bracket columns under a map whose columns are at 0, 1, 2 ...

    Args:
        axes: of the map.
        groups: the spans.
        offset: inches from the map's lower edge.
        size: of the names, in points.

    Returns:
        the inches that brackets and names take, from ``offset`` on.
    """
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    inches = axes.figure.dpi_scale_trans + ScaledTranslation(0, 0, axes.transAxes)  # type: ignore[arg-type]
    place = blended_transform_factory(axes.transData, inches)
    end = -offset - ARM
    for name, first, last in groups:
        x0, x1 = first - 0.38, last - 0.62
        axes.add_line(
            Line2D([x0, x0, x1, x1], [-offset, end, end, -offset], transform=place, color=INK, lw=0.8, clip_on=False)
        )
        axes.text((x0 + x1) / 2, end - GAP, name, transform=place, ha="center", va="top", size=size, **text_style(name))
    return ARM + GAP + 1.25 * size / 72 if groups else 0.0


def bracket_right(axes: Axes, groups: Sequence[Span], offset: float, size: float) -> float:
    """Bracket rows on the right of a map whose rows are at 0, 1, 2 ...; see :func:`bracket_below`."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    inches = axes.figure.dpi_scale_trans + ScaledTranslation(1, 0, axes.transAxes)  # type: ignore[arg-type]
    place = blended_transform_factory(inches, axes.transData)
    end = offset + ARM
    for name, first, last in groups:
        y0, y1 = first - 0.38, last - 0.62
        axes.add_line(
            Line2D([offset, end, end, offset], [y0, y0, y1, y1], transform=place, color=INK, lw=0.8, clip_on=False)
        )
        axes.text(
            end + GAP, (y0 + y1) / 2, name, transform=place, ha="left", va="center", rotation=-90, size=size,
            **text_style(name),
        )  # fmt: skip
    return ARM + GAP + 1.25 * size / 72 if groups else 0.0
