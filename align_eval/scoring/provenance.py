"""How a file of links came about, from what ``align-eval align -o FILE`` wrote beside it: ``FILE.meta.json``.

The note is a JSON object with the ``signature`` of the aligner (model, layer, method, ...), the number of ``lines``,
and the ``sha256`` of the file of links. It counts only while the file has that sha256.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from typing import Any

from align_eval.errors import AlignEvalWarning
from align_eval.files import StrPath, sha256_of

#: What is added to the name of a file of links.
SUFFIX = ".meta.json"
#: The keys of a signature that a note can give; the others are the scorer's to say.
KEYS = ("model", "revision", "dtype", "device", "layer", "head", "signal", "method", "params", "subword", "long")
#: The key whose value (``none``) a note can replace: what was symmetrised by the aligner itself.
REPLACED = "sym"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_provenance(path: StrPath) -> dict[str, str]:
    """What the signature of a score can say of the origin of a file of links.

    Args:
        path: the file of links. Pipes and ``-`` (standard input) have no note.

    Returns:
        some of :data:`KEYS` and :data:`REPLACED`, and their values; nothing if there is no note or it does not count.
            The latter is told by an :class:`~align_eval.errors.AlignEvalWarning`: the note is damaged, or the file was
            changed since.
    """
    name = os.fspath(path)
    note = name + SUFFIX
    if name == "-" or not os.path.isfile(name) or not os.path.lexists(note):
        return {}
    try:
        with open(note, "rb") as stream:
            data = json.loads(stream.read())
    except OSError as error:
        return _ignored(f"{note}: cannot be opened: {error.strerror}; it is left out of the signature")
    except (ValueError, RecursionError):
        data = None
    found = _values(data)
    if found is None:
        return _ignored(f"{note}: is not what align-eval align writes; it is left out of the signature")
    if sha256_of(name) != data["sha256"]:
        return _ignored(f"{name}: was changed since it was aligned; {note} is left out of the signature")
    return found


def _values(data: Any) -> dict[str, str] | None:
    """The values of :data:`KEYS` in a note, or ``None`` if it is not one."""
    if not isinstance(data, dict) or not isinstance(data.get("signature"), dict):
        return None
    if not isinstance(data.get("sha256"), str) or not _SHA256.fullmatch(data["sha256"]):
        return None
    values = {key: data["signature"][key] for key in (*KEYS, REPLACED) if data["signature"].get(key) is not None}
    if not all(isinstance(value, (str, int)) and str(value) for value in values.values()):
        return None
    return {key: str(value) for key, value in values.items()}


def _ignored(why: str) -> dict[str, str]:
    warnings.warn(AlignEvalWarning(why), stacklevel=3)
    return {}
