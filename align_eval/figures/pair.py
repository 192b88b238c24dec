"""One aligned sentence pair: the score matrix, the links found in it, and gold beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError
from align_eval.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from align_eval.corpora import SentencePair
    from align_eval.links import Links

CELL = 0.21  # inches a word
MOST_WORDS = 500  # of a side: with more, labels are too small to read at style.PIXELS


def aligned_pair(
    pair: SentencePair, values: NDArray[np.floating] | None, links: Links, *, quantity: str = "similarity",
    title: str = "",
) -> Figure:  # fmt: skip
    """Draw a pair: source words down, target words across, strength as colour, links as dots, gold as frames.

    A full frame is a sure gold link, a dashed one a possible link; a dot is a link found (0-based). ``values``:
    ``(source words, target words)``, ``None`` if not known.

    Raises:
        InputError: ``values`` has another shape than the pair, or a side has more than :data:`MOST_WORDS` words.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    rows, columns = len(pair.source), len(pair.target)
    if max(rows, columns) > MOST_WORDS:
        raise InputError(
            f"sentence pair {pair.id} has {rows} source and {columns} target words; a figure has room for "
            f"{MOST_WORDS} a side",
            remedy="Draw a part of it: a sentence pair of fewer words",
        )
    if values is not None and values.shape != (rows, columns):
        raise InputError(f"a map of {values.shape} for {rows} source and {columns} target words")
    with style.settings():
        figure = style.new_figure(2.3 + CELL * columns, 1.5 + CELL * rows)
        axes = figure.add_subplot()
        # Not imshow, whose resampling takes tens of bytes a pixel. Without values one cell covers all.
        drawn, (low, high) = (np.array([[0.06]]), (0.0, 1.0)) if values is None else (values, (None, None))
        x, y = np.linspace(-0.5, columns - 0.5, drawn.shape[1] + 1), np.linspace(-0.5, rows - 0.5, drawn.shape[0] + 1)
        image = axes.pcolormesh(
            x, y, drawn, cmap=style.STRENGTH_MAP, vmin=low, vmax=high, antialiased=False, linewidth=0
        )
        axes.set(aspect="equal", xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        axes.xaxis.tick_top()
        style.label_columns(axes, pair.target, style.TEXT_SIZE)
        style.label_rows(axes, pair.source, style.TEXT_SIZE)
        axes.set_xticks(np.arange(columns - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(rows - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
        legend = [Line2D([], [], marker="o", ls="none", markersize=4, color=style.LINK_COLOUR, label="link found")]
        if pair.gold is not None:
            sure = set(pair.gold.sure)
            frame: dict[str, Any] = {"fill": False, "ec": style.GOLD_COLOUR, "lw": 1.4}
            for i, j in pair.gold.possible:
                dashes = "-" if (i, j) in sure else (0, (1.5, 1.2))
                axes.add_patch(Rectangle((j - 0.44, i - 0.44), 0.88, 0.88, ls=dashes, **frame))
            for name, dashes in (("sure gold", "-"), ("possible gold", (0, (1.5, 1.2)))):
                legend.append(Line2D([], [], color=style.GOLD_COLOUR, lw=1.4, linestyle=dashes, label=name))
        found = links.pairs
        axes.scatter(found[:, 1], found[:, 0], s=22, c=style.LINK_COLOUR, edgecolors="white", linewidths=0.8, zorder=3)
        if title:
            axes.set_title(title, loc="left", pad=8)
        figure.legend(handles=legend, loc="outside lower left", ncols=3, frameon=False, handlelength=1.4)
        if values is not None:
            style.colour_bar(figure, image, quantity, ax=axes, fraction=0.05, pad=0.02, shrink=0.9)
    return figure
