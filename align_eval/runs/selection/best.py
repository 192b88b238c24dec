"""The single best view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from align_eval.runs.selection import SELECTORS, SENTENCES, Selection, Settings

if TYPE_CHECKING:
    from align_eval.runs.sweep import Sweep


@SELECTORS.register("best")
def best(found: Sweep, development: SENTENCES, settings: Settings) -> Selection:
    """The view with the lowest AER on the development part; of equal ones the first."""
    view = found.best(development)
    return Selection("best", (view,), (1.0,), aer=float(found.aer(development)[view]))
