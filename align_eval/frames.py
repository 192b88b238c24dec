"""Results as pandas frames. pandas is imported when a frame is asked for, and is no dependency of the package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError

if TYPE_CHECKING:
    import pandas


def frame(rows: Iterable[Mapping[str, Any]] | Mapping[str, Any]) -> pandas.DataFrame:
    """A frame of rows, or of columns; intervals (``ci``) become the columns ``NAME_low`` and ``NAME_high``.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise InputError("a frame needs the package pandas", remedy="Install it: pip install pandas") from None
    return pandas.DataFrame(rows if isinstance(rows, Mapping) else [_flat(row) for row in rows])


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    out = {key: value for key, value in row.items() if key != "ci"}
    for name, ends in row.get("ci", {}).items():
        out[f"{name}_low"], out[f"{name}_high"] = ends
    return out
