"""The key of an output: everything that decides it, compared before anything of an earlier run is taken over."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from align_eval.errors import InputError
from align_eval.files import StrPath
from align_eval.version import __version__


@dataclass(frozen=True)
class Key:
    """Everything that decides an output, by name; the version of this package is always part of it.

    A part may be a group of parts (the signature of an aligner). What is said of a model must be what identifies it:
    :func:`align_eval.models.identity.signature_of`.

    >>> Key.of(layer=7).digest == Key.of(layer=7).digest, Key.of(layer=7).changed({"layer": 8, "version": __version__})
    (True, ['layer'])
    """

    parts: dict[str, Any]

    @classmethod
    def of(cls, **parts: Any) -> Key:
        """A key of values that JSON has."""
        return cls(json.loads(json.dumps({**parts, "version": __version__})))

    @property
    def digest(self) -> str:
        """16 hex digits of a sha256 over all parts."""
        return hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()[:16]

    def changed(self, before: Any) -> list[str]:
        """The names of the parts that are others than in ``before``, the parts of another key."""
        old, new = _flat(before), _flat(self.parts)
        return sorted(name for name in {*old, *new} if old.get(name, ...) != new.get(name, ...))

    def require(self, before: Any, what: str, file: StrPath) -> None:
        """Refuse to go on with ``what`` unless ``before`` has the same parts."""
        if changed := self.changed(before):
            raise InputError(
                f"{what} stands there (different: {', '.join(changed)})", file=file,
                remedy="Repeat its settings to finish it, write elsewhere, or start over with --restart",
            )  # fmt: skip


def _flat(parts: Any) -> dict[str, Any]:
    """The parts with those of a group beside the others; nothing if it is no key."""
    if not isinstance(parts, dict):
        return {}
    groups = [value if isinstance(value, dict) else {name: value} for name, value in parts.items()]
    return {name: value for group in groups for name, value in group.items()}


def checksum(data: Any) -> str:
    """16 hex digits of a sha256 over what JSON has of ``data``: whether it is as it was written."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
