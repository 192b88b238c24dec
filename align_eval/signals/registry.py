"""All signals by name: ways to read from a model how strongly two sub-words go together.

A signal is called with a model (of :func:`align_eval.models.load_model`) and its own options, and gives a
:class:`~align_eval.models.layout.PairModel` whose :meth:`~align_eval.models.layout.PairModel.attend` hands on the
signal's maps in place of attention weights. So whatever works on attention works on every signal:

    reader = SIGNALS.get("rollout")(load_model("offline:tiny-deen"))
    maps = attention_maps(reader, pairs)
"""

from __future__ import annotations

from collections.abc import Callable

from align_eval.models.layout import PairModel
from align_eval.registry import Registry

SIGNALS: Registry[Callable[..., PairModel]] = Registry("signal", "align_eval.signals")
