"""The names of all sentence pairs beside a file that has no line for those without links: ``FILE.sentences.json``.

A JSON object with the ``sha256`` of the file and the ``sentences``: the names of its sentence pairs in their order. It
counts only while the file has that sha256.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Sequence

from align_eval.errors import AlignEvalWarning
from align_eval.files import StrPath, atomic_writer, sha256_of

#: What is added to the name of a file of links.
SUFFIX = ".sentences.json"


def write_sentence_list(path: StrPath, names: Sequence[str] | None) -> None:
    """Write the list beside the file ``path``, or take away that of an earlier one (``None``).

    A pipe, a device and ``-`` get none.
    """
    if not os.path.isfile(path):
        return
    beside = os.fspath(path) + SUFFIX
    if names is None:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        return
    with atomic_writer(beside) as stream:
        json.dump({"sha256": sha256_of(path), "sentences": list(names)}, stream)
        stream.write("\n")


def read_sentence_list(path: StrPath) -> list[str] | None:
    """The names in the list beside ``path``; ``None``: there is none that counts, which a warning tells."""
    beside = os.fspath(path) + SUFFIX
    if not os.path.isfile(path) or not os.path.isfile(beside):
        return None
    try:
        with open(beside, encoding="utf-8") as stream:
            data = json.load(stream)
        names, digest = data["sentences"], data["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        names, digest = None, ""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        why = f"{beside}: is not a list of sentence pairs; it is left out"
    elif digest != sha256_of(path):
        why = f"{path}: was changed since {beside} was written; that list of sentence pairs is left out"
    else:
        return names
    warnings.warn(AlignEvalWarning(why), stacklevel=2)
    return None
