"""The signature: one line of text that says how a number came about, so that it can be cited and found again.

After sacrebleu (Post 2018): keys and values joined with ``|``, for example
``set:deen-rwth|sha256:1a2b3c4d|sentences:508|base:1|nulls:drop|sym:none|bs:1000|seed:12345|version:0.1.0``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from align_eval.errors import FormatError, InputError, UnknownNameError


class SignatureKey(NamedTuple):
    """A key that a signature may have, its short form, and what it says."""

    name: str
    short: str
    meaning: str


#: All keys, in the order in which a signature shows them.
SIGNATURE_KEYS = (
    SignatureKey("set", "t", "name of the test set, or of the gold file"),
    SignatureKey(
        "sha256", "sha", "first 8 hex digits of the sha256 of the gold: a set's files, a gold file, or own data"
    ),
    SignatureKey("sentences", "n", "number of sentence pairs"),
    SignatureKey("base", "b", "index base of the gold file: 0 or 1"),
    SignatureKey("hyp-base", "hb", "index base of the hypothesis file"),
    SignatureKey("hyp-order", "ho", "side order of the hypothesis file: st or ts (left out for st)"),
    SignatureKey("nulls", "nl", "what is done with null links: drop, count or raise"),
    SignatureKey("range", "rg", "what is done with links outside of their sentence pair: raise, or drop"),
    SignatureKey("missing", "ms", "what a sentence pair is that a file does not name: empty (left out for an error)"),
    SignatureKey("unannotated", "ua", "what is done with sentence pairs without gold: skip (left out for count)"),
    SignatureKey("first", "f", "number of the first sentence pairs that alone are scored"),
    SignatureKey("model", "m", "name of the model"),
    SignatureKey("revision", "rev", "revision of the model: a commit or the first digits of a checksum"),
    SignatureKey("dtype", "dt", "number type that the model ran in"),
    SignatureKey("device", "dev", "kind of device that the model ran on: cuda, mps (left out for cpu)"),
    SignatureKey("layer", "l", "layer, 0 for the embeddings"),
    SignatureKey("head", "h", "attention head, counted from 1, or how heads are put together"),
    SignatureKey(
        "selection", "sel", "how layers, heads and readings were chosen on other sentence pairs, and the share of those"
    ),
    SignatureKey("signal", "sig", "what the score matrix is: similarity, attention, ..."),
    SignatureKey("method", "x", "how the score matrix becomes links"),
    SignatureKey("params", "p", "parameters of the method that are not the default, name=value joined with commas"),
    SignatureKey("trained", "tr", "what a trained method learnt from, names joined with +"),
    SignatureKey("subword", "sw", "how subwords become words"),
    SignatureKey("lone", "lo", "words whose lone mark of a word's start is left out: cjk, drop (left out for none)"),
    SignatureKey("long", "lg", "what is done with sentences longer than the model's window"),
    SignatureKey(
        "sym", "sym", "symmetrisation and its rule, method/rule, or none; unknown if nothing is known of the links"
    ),
    SignatureKey("alpha", "a", "weight of precision in F_alpha (left out for 0.5)"),
    SignatureKey("conf", "c", "level of the intervals (left out for 0.95)"),
    SignatureKey("bs", "bs", "resamples of the bootstrap; 0: no intervals"),
    SignatureKey("ci", "ci", "how intervals are made of the resamples: studentised (symmetric, on the log odds)"),
    SignatureKey("ar", "ar", "trials of the approximate randomisation test"),
    SignatureKey("seed", "sd", "seed of the resamples and trials"),
    SignatureKey("version", "v", "version of align-eval"),
)
_NAMES = {key.name: key.name for key in SIGNATURE_KEYS}
_BY_ANY = _NAMES | {key.short: key.name for key in SIGNATURE_KEYS}
_SHORT = {key.name: key.short for key in SIGNATURE_KEYS}
_UNSAFE = re.compile(r"[|%\s\x00-\x1f\x7f]")

Value = str | int | float | bool


class Signature(Mapping[str, str]):
    """An ordered, immutable mapping of the keys of :data:`SIGNATURE_KEYS` to text.

    Args:
        values: keys (long or short) and values; an underscore in a key stands for a hyphen. ``None`` leaves a key out.
            The order does not matter: it is always that of :data:`SIGNATURE_KEYS`.
        more: the same, as keyword arguments.

    Raises:
        UnknownNameError: an unknown key.
        InputError: a key given twice (long and short), or an empty value.

    >>> signature = Signature(sentences=508, set="deen-rwth", base=1)
    >>> str(signature)
    'set:deen-rwth|sentences:508|base:1'
    >>> signature.short()
    't:deen-rwth|n:508|b:1'
    >>> Signature.parse("t:deen-rwth|n:508|b:1") == signature
    True
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Value | None] | None = None, **more: Value | None) -> None:
        given: dict[str, str] = {}
        for items in (values or {}, more):
            for key, value in items.items():
                name = _BY_ANY.get(key) or _BY_ANY.get(key.replace("_", "-"))
                if name is None:
                    raise UnknownNameError("key of a signature", key, _NAMES)
                if name in given:
                    raise InputError(f"the key {name!r} of a signature is given twice")
                if value is None:
                    continue
                given[name] = f"{value:.12g}" if isinstance(value, float) else str(value)
                if not given[name]:
                    raise InputError(f"the key {name!r} of a signature has no value")
        self._values = {key.name: given[key.name] for key in SIGNATURE_KEYS if key.name in given}

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read a signature back, in its long or its short form."""
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

    def short(self) -> str:
        """The form with short keys."""
        return _join((_SHORT[key], value) for key, value in self.items())

    def __str__(self) -> str:
        return _join(self.items())

    def __repr__(self) -> str:
        return f"Signature({str(self)!r})"

    def __getitem__(self, key: str) -> str:
        return self._values[_BY_ANY.get(key, key)]

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


def _join(items: Iterable[tuple[str, str]]) -> str:
    """``key:value|key:value``; what could be taken for structure is percent-encoded as in addresses."""
    return "|".join(f"{key}:{_UNSAFE.sub(_percent, value)}" for key, value in items)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode())
