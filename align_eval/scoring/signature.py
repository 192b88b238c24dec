"""The signature: one line of text that says how a number came about, so that it can be cited and found again.

After sacrebleu (Post 2018): keys and values joined with ``|``, for example
``set:deen-rwth|sha256:1a2b3c4d|sentences:508|base:1|nulls:drop|sym:none|bs:1000|seed:12345|version:0.1.0``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from align_eval.errors import FormatError, InputError, UnknownNameError

#: All keys, in the order in which a signature shows them, and what each says.
SIGNATURE_KEYS = {
    "set": "name of the test set, or of the gold file",
    "sha256": "first 8 hex digits of the sha256 of the gold: a set's files, a gold file, or own data",
    "sentences": "number of sentence pairs",
    "base": "index base of the gold file: 0 or 1",
    "hyp-base": "index base of the hypothesis file",
    "hyp-order": "side order of the hypothesis file: st or ts (left out for st)",
    "nulls": "what is done with null links: drop, count or raise",
    "range": "what is done with links outside of their sentence pair: raise, or drop",
    "missing": "what a sentence pair is that a file does not name: empty (left out for an error)",
    "unannotated": "what is done with sentence pairs without gold: skip (left out for count)",
    "first": "number of the first sentence pairs that alone are scored",
    "model": "name of the model",
    "revision": "revision of the model: a commit or the first digits of a checksum",
    "dtype": "number type that the model ran in",
    "device": "kind of device that the model ran on: cuda, mps (left out for cpu)",
    "layer": "layer, 0 for the embeddings",
    "head": "attention head, counted from 1, or how heads are put together",
    "selection": "how layers, heads and readings were chosen on other sentence pairs, and the share of those",
    "signal": "what the score matrix is: similarity, attention, ...",
    "method": "how the score matrix becomes links",
    "params": "parameters of the method that are not the default, name=value joined with commas",
    "trained": "what a trained method learnt from, names joined with +",
    "subword": "how subwords become words",
    "lone": "words whose lone mark of a word's start is left out: cjk, drop (left out for none)",
    "long": "what is done with sentences longer than the model's window",
    "sym": "symmetrisation and its rule, method/rule, or none; unknown if nothing is known of the links",
    "alpha": "weight of precision in F_alpha (left out for 0.5)",
    "conf": "level of the intervals (left out for 0.95)",
    "bs": "resamples of the bootstrap; 0: no intervals",
    "ci": "how intervals are made of the resamples: studentised (symmetric, on the log odds)",
    "ar": "trials of the approximate randomisation test",
    "seed": "seed of the resamples and trials",
    "version": "version of align-eval",
}
_UNSAFE = re.compile(r"[|%\s\x00-\x1f\x7f]")

Value = str | int | float | bool


class Signature(Mapping[str, str]):
    """An ordered, immutable mapping of the keys of :data:`SIGNATURE_KEYS` to text.

    Args:
        values: keys and values; an underscore in a key stands for a hyphen. ``None`` leaves a key out.
            The order does not matter: it is always that of :data:`SIGNATURE_KEYS`.
        more: the same, as keyword arguments.

    Raises:
        UnknownNameError: an unknown key.
        InputError: a key given twice, or an empty value.

    >>> signature = Signature(sentences=508, set="deen-rwth", base=1)
    >>> str(signature)
    'set:deen-rwth|sentences:508|base:1'
    >>> Signature.parse("set:deen-rwth|sentences:508|base:1") == signature
    True
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Value | None] | None = None, **more: Value | None) -> None:
        given: dict[str, str] = {}
        for items in (values or {}, more):
            for key, value in items.items():
                name = key.replace("_", "-")
                if name not in SIGNATURE_KEYS:
                    raise UnknownNameError("key of a signature", key, SIGNATURE_KEYS)
                if name in given:
                    raise InputError(f"the key {name!r} of a signature is given twice")
                if value is None:
                    continue
                given[name] = f"{value:.12g}" if isinstance(value, float) else str(value)
                if not given[name]:
                    raise InputError(f"the key {name!r} of a signature has no value")
        self._values = {key: given[key] for key in SIGNATURE_KEYS if key in given}

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read a signature back."""
        values: dict[str, Value | None] = {}
        for part in text.strip().split("|"):
            key, colon, value = part.partition(":")
            if not colon or not key or not value:
                raise FormatError(f"{part!r} in a signature is not key:value", remedy="Write key:value|key:value")
            if key in values:
                raise InputError(f"the key {key!r} of a signature is given twice")
            values[key] = unquote(value)
        return cls(values)

    def extend(self, **values: Value | None) -> Signature:
        """A signature with these values set or replaced; ``None`` takes a key out."""
        new = Signature({key: value for key, value in values.items() if value is not None})
        dropped = {key.replace("_", "-") for key, value in values.items() if value is None}
        return Signature({**{key: value for key, value in self.items() if key not in dropped}, **new})

    def __str__(self) -> str:
        """``key:value|key:value``; what could be taken for structure is percent-encoded as in addresses."""
        return "|".join(f"{key}:{_UNSAFE.sub(_percent, value)}" for key, value in self.items())

    def __repr__(self) -> str:
        return f"Signature({str(self)!r})"

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        """Equal if all keys and values are; a text is parsed first."""
        if isinstance(other, str):
            try:
                other = Signature.parse(other)
            except InputError:
                return False
        return isinstance(other, Signature) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple(self.items()))


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode())
