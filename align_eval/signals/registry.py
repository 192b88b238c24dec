"""All signals by name: ways to read from a model how strongly two sub-words go together.

A signal is called with a model (of :func:`align_eval.models.load_model`) and its own options, and gives a
:class:`~align_eval.models.pairs.PairModel` whose :meth:`~align_eval.models.pairs.PairModel.attend` hands on the
signal's maps in place of attention weights. So whatever works on attention works on every signal:

    reader = SIGNALS.get("rollout")(load_model("offline:tiny-deen"))
    maps = attention_maps(reader, pairs)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from align_eval.models.pairs import PairModel
from align_eval.options import options_of, parse_options, split_spec
from align_eval.registry import Registry

SIGNALS: Registry[Callable[..., PairModel]] = Registry("signal", "align_eval.signals")


def make_signal(spec: str, model: Any) -> PairModel:
    """A model seen through the signal that ``NAME`` or ``NAME:option=value,option=value`` asks for.

    Args:
        spec: the signal's name and options, such as ``smoothgrad:samples=8``.
        model: of :func:`align_eval.models.load_model`.

    Raises:
        UnknownNameError: no such signal or option; the message lists what exists.
        InputError: a value of the wrong kind or out of its range, an option given twice.
        ModelError: the model cannot be read by this signal.
    """
    return SIGNALS.get(split_spec(spec)[0])(model, **signal_options(spec))


def signal_options(spec: str) -> dict[str, Any]:
    """The options in a signal's spec; needs no model.

    Raises:
        UnknownNameError, InputError: as :func:`make_signal`.
    """
    name, tail = split_spec(spec)
    signal = SIGNALS.get(name)
    limits: dict[str, Any] = getattr(signal, "limits", {})
    known = {key: dataclasses.replace(kind, **limits.get(key, {})) for key, kind in options_of(signal).items()}
    return parse_options(f"the signal {name}", tail, known)
