"""One offline HTML page to explore score matrices: every layer and head, gold beside them, a list of all pairs.

:class:`Page` takes :class:`Entry` by :class:`Entry`; :mod:`align_eval.runs.explore` makes them from a model.
"""

from __future__ import annotations

from align_eval.report.page.entry import COUNTS, Entry
from align_eval.report.page.page import Axis, Page, number_axis, shown_name

__all__ = ["COUNTS", "Axis", "Entry", "Page", "number_axis", "shown_name"]
