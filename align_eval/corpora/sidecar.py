"""What is known of a file of links beside it, in ``FILE.meta.json``: how the links came about, and all sentence names.

The note is a JSON object with the ``signature`` of what made the links (model, layer, method, symmetrisation, ...), the
index ``base`` of the file, the number of ``lines`` (sentence pairs), the ``sha256`` of the file, and ``names`` of all
sentence pairs where the file leaves out those without links (NAACL). It counts only while the file has that sha256.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from align_eval.errors import AlignEvalWarning
from align_eval.files import StrPath, atomic_writer, parse_json, sha256_of
from align_eval.version import __version__

#: What is added to the name of a file of links.
SUFFIX = ".meta.json"
#: The keys of a signature that a note can give; the others are the scorer's to say.
KEYS = (
    "model", "revision", "dtype", "device", "layer", "head", "selection", "signal", "method", "params", "trained",
    "subword", "lone", "long", "sym",
)  # fmt: skip
_SHA256 = re.compile(r"[0-9a-f]{64}")


def write_sidecar(
    path: StrPath,
    signature: Mapping[str, object],
    sentences: int,
    names: Sequence[str] | None = None,
    base: int | None = None,
) -> None:
    """Write the note beside a file of links that has just been written, or take away that of an earlier one.

    Where there is nothing to say there is no note; pipes and ``-`` get none.

    Of ``signature`` only :data:`KEYS` are kept; ``names`` are those of all pairs, where the file does not tell them.
    """
    name = os.fspath(path)
    if name == "-" or not os.path.isfile(name):
        return
    if not signature and names is None:
        with contextlib.suppress(OSError):
            os.unlink(name + SUFFIX)
        return
    note: dict[str, Any] = {
        "signature": {**{key: signature[key] for key in KEYS if key in signature}, "version": __version__},
        "lines": sentences,
        "sha256": sha256_of(name),
    }
    if base is not None:
        note["base"] = base
    if names is not None:
        note["names"] = list(names)
    with atomic_writer(name + SUFFIX) as stream:
        json.dump(note, stream, indent=2, ensure_ascii=False)
        stream.write("\n")


def read_provenance(path: StrPath) -> dict[str, str]:
    """What the signature of a score can say of the origin of a file of links.

    That is some of :data:`KEYS` and their values; nothing if there is no note (pipes and standard input have none)
    or it does not count, which an :class:`~align_eval.errors.AlignEvalWarning` says: damaged, or of another file.
    """
    data, why = _read(path)
    if why is not None:
        warnings.warn(AlignEvalWarning(f"{why} is left out of the signature"), stacklevel=2)
    signature = {} if data is None else data["signature"]
    return {key: str(signature[key]) for key in KEYS if signature.get(key) is not None}


def sidecar_names(path: StrPath) -> list[str] | None:
    """The names of all sentence pairs of a file, those that it leaves out included; ``None``: no note says them."""
    data, _ = _read(path)
    names = None if data is None else data.get("names")
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def sidecar_base(path: StrPath) -> int | None:
    """The index base of a file, 0 or 1; ``None``: no note says it."""
    data, _ = _read(path)
    base = None if data is None else data.get("base")
    return base if type(base) is int and base in (0, 1) else None


def _read(path: StrPath) -> tuple[dict[str, Any] | None, str | None]:
    """The note that counts, or why it does not."""
    name = os.fspath(path)
    note = name + SUFFIX
    if name == "-" or not os.path.isfile(name) or not os.path.lexists(note):
        return None, None
    try:
        with open(note, "rb") as stream:
            data = parse_json(stream.read())
    except OSError as error:
        return None, f"{note}: cannot be opened: {error.strerror}; it"
    except ValueError:
        data = None
    if not _is_note(data):
        return None, f"{note}: is not what align-eval writes beside links; it"
    if sha256_of(name) != data["sha256"]:
        return None, f"{name}: was changed since {note} was written, which"
    return data, None


def _is_note(data: Any) -> bool:
    if not isinstance(data, dict) or not isinstance(data.get("signature"), dict):
        return False
    if not isinstance(data.get("sha256"), str) or not _SHA256.fullmatch(data["sha256"]):
        return False
    values = [data["signature"].get(key) for key in KEYS]
    return all(isinstance(value, (str, int, type(None))) and value != "" for value in values)
