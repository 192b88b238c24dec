"""An attention head by name, such as ``L6H1``, what is done with it, and whether a model has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from align_eval.errors import InputError, UnknownNameError
from align_eval.links.symmetrization import check_names

if TYPE_CHECKING:
    from align_eval.models.pairs import PairModel

MODES = ("awo", "awi", "both", "src2tgt", "tgt2src")
READINGS = {"both": "block", "src2tgt": "block-st", "tgt2src": "block-ts"}
"""What the models call the directions of a cross-lingual block."""
AUTO = "auto"
_HEAD = re.compile(r"L(\d+|mean)(?:H(\d+|mean|max))?", re.IGNORECASE)


class Head(NamedTuple):
    """A layer and one of its heads, both counted from 1, or ``"mean"``; the head also ``"max"``.

    ``"layer"``: the one score matrix of a layer that an attribution method without heads gives.
    """

    layer: int | str
    head: int | str

    def __str__(self) -> str:
        return f"L{self.layer}" if self.head == "layer" else f"L{self.layer}H{self.head}"


def parse_head(text: str) -> Head:
    """The head that ``L6H1`` names; ``L6`` and ``L6Hmean``: the mean over the heads of layer 6.

    Raises:
        InputError: ``text`` has another form.

    >>> parse_head("L6H1"), str(parse_head("L6"))
    (Head(layer=6, head=1), 'L6Hmean')
    """
    found = _HEAD.fullmatch(text.strip())
    if found is None or "0" in (found[1], found[2]):
        raise InputError(
            f"{text!r} names no attention head",
            remedy="Write L6H1 (layer 6, head 1, both from 1), L6 (the mean over its heads) or auto",
        )
    layer, head = (int(part) if part.isdecimal() else part.lower() for part in (found[1], found[2] or "mean"))
    return Head(layer, head)


def mode_name(reading: str) -> str:
    """The alignment mode that a model calls ``reading``."""
    return {name: mode for mode, name in READINGS.items()}.get(reading, reading)


@dataclass(frozen=True)
class AttentionSettings:
    """How links are taken from attention."""

    #: ``None``: ``choose_head`` of :mod:`align_eval.runs` is to choose it.
    head: Head | None
    #: An alignment mode of :data:`MODES`; ``None``: ``awi`` where the model has it, else its first.
    mode: str | None = None
    #: ``attention``, or another attribution method (``norms``, ``alti``, ...) with its options.
    attribution: str = "attention"
    #: Method and rule that combine both directions; ``None``: source to target alone.
    symmetrize: tuple[str, str] | None = None
    #: The test set that the head was chosen on; empty if the user named it.
    chosen_on: str = ""

    def __post_init__(self) -> None:
        if self.symmetrize is not None:
            check_names(*self.symmetrize)


def parse_symmetrization(text: str) -> tuple[str, str]:
    """Method and rule from ``METHOD`` or ``METHOD:rule``, ``both`` by default; UnknownNameError: no such one."""
    method, _, rule = text.partition(":")
    check_names(method, rule or "both")
    return method, rule or "both"


def attention_settings(
    head: str | None, mode: str | None, attribution: str, symmetrize: str | None, choose_on: str | None
) -> AttentionSettings | None:
    """What was asked for in words; ``None``: no attention.

    ``head`` is as :func:`parse_head` takes it or ``"auto"``, ``symmetrize`` as :func:`parse_symmetrization` does, and
    ``choose_on`` a test set's name.

    Raises:
        InputError, UnknownNameError: words of another form, or that do not go together.
    """
    if head is None:
        if mode is not None or attribution != "attention" or symmetrize is not None or choose_on is not None:
            raise InputError(
                "an alignment mode, an attribution method, a symmetrisation and a set to choose a head on go with "
                "attention",
                remedy="Name a head: --attention L6H1, or auto",
            )
        return None
    if choose_on is not None and head != AUTO:
        raise InputError("a set to choose a head on goes with --attention auto", remedy="Leave out --choose-on")
    combined = None if symmetrize is None else parse_symmetrization(symmetrize)
    return AttentionSettings(None if head == AUTO else parse_head(head), mode, attribution, combined)


def chosen_mode(reader: PairModel, mode: str | None) -> str:
    """``mode`` if the model has it, else an error; by default ``awi`` where it has that, else its first."""
    known = [mode_name(reading) for reading in reader.readings]
    if mode is None:
        return "awi" if "awi" in known else known[0]
    if mode not in known:
        if mode not in MODES:
            raise UnknownNameError("alignment mode", mode, known)
        raise InputError(
            f"{reader.name} ({reader.family}) has no alignment mode {mode}",
            remedy=f"Choose --mode {' or '.join(known)}",
        )
    return mode


def checked_head(reader: PairModel, asked: AttentionSettings) -> Head:
    """The head asked for, if one is and the model has it, else InputError; the layer of a method of whole layers."""
    if asked.head is None:
        raise InputError("no attention head is named", remedy="Name one, such as L6H1")
    layer, head = asked.head
    if reader.headless:
        if head not in ("mean", "layer"):
            raise InputError(
                f"{asked.attribution} has one score matrix a layer, and no head {head}",
                remedy=f"Name the layer alone: --attention L{layer}",
            )
        head = "layer"
    for number, count, what in ((layer, reader.layers, "layer"), (head, reader.heads, "head")):
        if isinstance(number, int) and number > count:
            raise InputError(
                f"{reader.name} has no attention {what} {number}", remedy=f"Choose {what} 1 to {count}, as in L1H1"
            )
    return Head(layer, head)


def require_both_directions(model: Any, languages: tuple[str | None, str | None]) -> None:
    """Check that a model can be run from target to source, too."""
    if getattr(model, "family", "") != "seq2seq":
        return
    fixed = getattr(model, "target_language", None)
    if fixed is not None:
        raise InputError(
            f"{model.name} was loaded for one direction, into {fixed}",
            remedy="Load it without languages and give them to the aligner",
        )
    one_way = None if model.codes else getattr(model.tokenizer, "target_lang", None)
    if one_way:
        raise InputError(
            f"{model.name} translates into {one_way} only, so that it has no other direction to symmetrise with",
            remedy="Align target to source with the model of that direction, and combine with align-eval symmetrize",
        )
    if model.codes and None in languages:
        raise InputError("both directions need both languages", remedy="Give --source-language and --target-language")
