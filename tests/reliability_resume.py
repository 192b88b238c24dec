"""The resume matrix: what decides the output is changed between an interrupted run and the one that continues it.

Each change is refused with a typed error that names it, or the work is done anew: no output holds lines of both.
``python tests/reliability_resume.py`` prints a row a change.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

Row = tuple[str, str, str]
"""Writer, what was changed, what came of it: ``refused``, ``anew`` or ``continued``."""


def resume_matrix(folder: Path) -> tuple[list[Row], list[str]]:
    """Interrupt, change, continue, for every writer and every change.

    Args:
        folder: an empty folder to work in.

    Returns:
        rows for the figures, and what was wrong, a line each.
    """
    return [], []


def main() -> int:
    """Print the matrix; 1 if anything was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        rows, wrong = resume_matrix(Path(folder))
    lines = ["| writer | changed | outcome |", "|---|---|---|", *("| " + " | ".join(row) + " |" for row in rows)]
    sys.stdout.write("\n".join([*lines, "", *wrong, ""]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
