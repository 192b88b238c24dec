"""All signals by name: ways to read from a model how strongly two sub-words go together.

A signal is called with a model (of :func:`align_eval.models.load_model`) and its own options, and gives a
:class:`~align_eval.models.layout.PairModel` whose :meth:`~align_eval.models.layout.PairModel.attend` hands on the
signal's maps in place of attention weights. So whatever works on attention works on every signal:

    reader = SIGNALS.get("rollout")(load_model("offline:tiny-deen"))
    maps = attention_maps(reader, pairs)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from align_eval.errors import InputError, UnknownNameError
from align_eval.models.layout import PairModel
from align_eval.registry import Registry

SIGNALS: Registry[Callable[..., PairModel]] = Registry("signal", "align_eval.signals")


def make_signal(spec: str, model: Any) -> PairModel:
    """A model seen through the signal that ``NAME`` or ``NAME:option=value,option=value`` asks for.

    Args:
        spec: the signal's name and options, such as ``smoothgrad:samples=8``.
        model: of :func:`align_eval.models.load_model`.

    Raises:
        UnknownNameError: no such signal or option; the message lists what exists.
        InputError: a value of the wrong kind.
        ModelError: the model cannot be read by this signal.
    """
    return SIGNALS.get(spec.partition(":")[0])(model, **signal_options(spec))


def signal_options(spec: str) -> dict[str, Any]:
    """The options in a signal's spec; needs no model.

    Raises:
        UnknownNameError, InputError: as :func:`make_signal`.
    """
    name, _, tail = spec.partition(":")
    signal = SIGNALS.get(name)
    known = {
        key: parameter.default
        for key, parameter in inspect.signature(signal).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    out: dict[str, Any] = {}
    for part in filter(None, tail.split(",")):
        key, equals, value = part.partition("=")
        if key not in known:
            raise UnknownNameError(f"option of the signal {name}", key, known)
        kind = type(known[key])
        try:
            if not equals or (kind is bool and value not in ("true", "false")):
                raise ValueError
            out[key] = value == "true" if kind is bool else kind(value)
        except ValueError:
            raise InputError(
                f"option {part!r} of the signal {name} is not {key}=<{kind.__name__}>",
                remedy=f"Write for example {name}:{key}={str(known[key]).lower()}",
            ) from None
    return out
