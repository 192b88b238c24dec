"""Counting the pairs of an input while the work on it is under way already, so that the time left can be told."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from align_eval.errors import AlignEvalError

if TYPE_CHECKING:
    from align_eval.corpora import Bitext
    from align_eval.files import StrPath

# Formats whose pairs are counted without being read: by line ends, or by what the file says of itself.
CHEAP = ("parallel", "pipes", "tsv", "jsonl", "parquet")


def count_meanwhile(
    bitext: Bitext, files: Sequence[StrPath], tell: Callable[[int], None], after: float = 0.0
) -> threading.Timer | None:
    """Count the pairs in a thread of its own and ``tell`` how many there are.

    Args:
        bitext: the pairs.
        files: what they are read from.
        tell: called with the number, from the thread.
        after: seconds to wait before.

    Returns:
        the thread, which can be cancelled while it waits and does not keep the process alive; ``None`` if these pairs
        cannot be counted cheaply beside another pass: from a stream, or in a format that must be parsed.
    """
    if bitext.format not in CHEAP or not files or not all(os.path.isfile(file) for file in files):
        return None

    def count() -> None:
        try:
            tell(len(bitext))
        except (AlignEvalError, OSError):
            return  # the pass that reads the pairs raises it, with the line

    thread = threading.Timer(after, count)
    thread.daemon = True
    thread.start()
    return thread
