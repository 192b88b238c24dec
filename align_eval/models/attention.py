"""The attention weights of a transformer, layer by layer: those of a layer exist only while that layer runs.

Attention kernels that return no weights (SDPA, flash) are switched to ``eager`` for the time of a pass and back
afterwards; classes that return weights only when asked (``output_attentions``) are asked for that time.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from align_eval.errors import ModelError, NonFiniteError
from align_eval.models.adapters import adapter_of

if TYPE_CHECKING:
    import torch
    from torch import nn


class Reached(Exception):
    """Leaves a forward pass when the deepest layer that is asked for has been taken."""


def attention_sites(model: nn.Module, kind: str, name: str = "the model") -> list[nn.Module]:
    """The innermost modules with query, key and value of a ``transformers`` model, first layer first.

    ``kind`` is ``"self"`` (of an encoder or a decoder-only model), ``"cross"``, ``"decoder-self"`` or
    ``"encoder-self"`` (of an encoder-decoder model); a :class:`ModelError` if ``model`` has no such attention.
    """
    return adapter_of(model.config).attention_modules(model, kind, name)


@contextlib.contextmanager
def eager(model: Any, name: str = "the model") -> Iterator[None]:
    """Let ``model`` compute attention in the way that returns weights; the way it had comes back at the end."""
    modules = list(model.modules())
    asks = any(_asks(module.__class__) for module in modules)
    configs = list({id(m.config): m.config for m in modules if hasattr(m, "config")}.values())
    kept = [(getattr(c, "_attn_implementation", None), getattr(c, "output_attentions", False)) for c in configs]
    before = kept[0][0]
    switched = before in (None, "eager")
    if not switched and getattr(model, "_can_set_attn_implementation", lambda: True)():
        with contextlib.suppress(AttributeError, ImportError, ValueError, KeyError, RuntimeError):
            model.set_attn_implementation("eager")
        switched = model.config._attn_implementation == "eager"
    try:
        if not switched and not asks:
            raise ModelError(
                f"{name} ({model.config.model_type}) computes its attention by {before}, cannot be switched to a way "
                "that returns weights, and returns none when asked",
                remedy="Choose another model; the vectors of this one can still be aligned",
            )
        for config in configs if asks else ():
            if getattr(config, "_attn_implementation", None) is not None:
                config._attn_implementation = "eager"
            config.output_attentions = True
        yield
    finally:
        if asks:
            for config, (way, output) in zip(configs, kept, strict=True):
                config.output_attentions = output
                if way is not None:
                    config._attn_implementation = way
        if before not in (None, "eager") and model.config._attn_implementation != before:
            model.set_attn_implementation(before)


@functools.cache
def _asks(kind: type) -> bool:
    """Whether an attention module of this class returns its weights only with ``output_attentions=True``."""
    forward = getattr(kind, "forward", None)
    named = "attention" in kind.__name__.lower() or kind.__name__ == "Attention"
    return named and forward is not None and "output_attentions" in inspect.signature(forward).parameters


def weights_of(output: Any) -> torch.Tensor | None:
    """The attention weights ``(B, heads, Q, K)`` among what an attention module returns, or ``None``."""
    import torch

    if isinstance(output, dict):
        output = tuple(output.values())
    if not isinstance(output, (tuple, list)):
        return None
    for item in reversed(output):
        found = item if isinstance(item, torch.Tensor) and item.ndim == 4 else weights_of(item)
        if found is not None:
            return found
    return None


class AttentionPass:
    """One forward pass that stops at each attention module asked for: an iterator of its number and its weights.

    ``for number, weights in AttentionPass(...)`` gives ``(B, heads, queries, keys)`` in the order in which the model
    computes them. The pass waits while the body of the loop runs, so that the weights of one module exist at a time;
    nothing beyond the deepest module is computed. The model runs without gradients; the body of the loop keeps the
    caller's settings of torch. A module that returns no weights, or is not reached, is a :class:`ModelError`.

    Args:
        model: the model that ``run``, one forward pass, calls.
        sites: the attention modules that are asked for, by number.
        name: of the model, for messages.
        to_end: run the whole pass; ``output`` then is what ``run()`` returned, once the loop has ended.
    """

    def __init__(
        self, model: Any, sites: Mapping[int, nn.Module], run: Callable[[], Any], name: str = "the model", *,
        to_end: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.sites, self.run, self.name, self.to_end = model, sites, run, name, to_end
        self.output: Any = None

    def __iter__(self) -> Iterator[tuple[int, torch.Tensor]]:
        from greenlet import GreenletExit, getcurrent, greenlet

        # The pass has a stack of its own, on this thread: a module's hook switches back to the loop.
        passing = greenlet(self._pass)
        passing.gr_context = contextvars.copy_context()
        seen: set[int] = set()
        try:
            while True:
                passing.parent = getcurrent()
                found = passing.switch(passing)
                if passing.dead:
                    break
                seen.add(found[0])
                yield found
        finally:
            if not passing.dead:
                passing.throw(GreenletExit)
        if len(seen) != len(self.sites):
            missing = ", ".join(str(number) for number in sorted(set(self.sites) - seen))
            raise ModelError(f"layer {missing} of {self.name} was not computed", remedy="Check how the model was built")

    def _pass(self, passing: Any) -> None:
        import torch
        from greenlet import getcurrent

        from align_eval.models.double import keep_double

        double = keep_double(self.model.dtype)
        outside = torch.is_grad_enabled()
        deepest = max(self.sites)

        def hook_for(number: int) -> Any:
            def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
                if getcurrent() is not passing:  # another pass of the same model
                    return
                weights = weights_of(output)
                if weights is None or not _whole(weights, output):
                    kind = self.model.config.model_type
                    raise ModelError(
                        f"layer {number} of {self.name} ({kind}) returns no attention weights of all tokens over all "
                        "tokens, even when asked for them",
                        remedy="Choose another model; the vectors of this one can still be aligned",
                    )
                double.__exit__(None, None, None)
                torch.set_grad_enabled(outside)
                try:
                    passing.parent.switch((number, weights))
                finally:
                    torch.set_grad_enabled(False)
                    double.__enter__()
                if number == deepest and not self.to_end:
                    raise Reached

            return hook

        with eager(self.model, self.name), double, torch.no_grad():
            handles = [site.register_forward_hook(hook_for(number)) for number, site in self.sites.items()]
            try:
                with contextlib.suppress(Reached):
                    self.output = self.run()
            finally:
                for handle in handles:
                    handle.remove()


def _whole(weights: torch.Tensor, output: Any) -> bool:
    """Whether weights have a row for each token of the module's output ``(B, Q, d)``: those of windows have not."""
    hidden = next(iter(output.values())) if isinstance(output, dict) else output[0]
    return getattr(hidden, "ndim", 0) != 3 or weights.shape[2] in hidden.shape[:2]


# The greatest distance of a row's sum from 1 that rounding explains, by number type.
TOLERANCE = {"torch.float64": 1e-6, "torch.float32": 1e-4, "torch.float16": 1e-2, "torch.bfloat16": 4e-2}


def not_finite(what: str, name: str, where: torch.Tensor, pairs: Sequence[str]) -> NonFiniteError:
    """The error that names the first of ``pairs``, of which the first axis of ``where`` is, with NaN or infinity."""
    at = f" for sentence pair {pairs[int(where.flatten(1).any(dim=1).nonzero()[0])]}" if len(pairs) else ""
    return NonFiniteError(
        f"the {what} of {name} has NaN or infinite values{at}",
        remedy="Load the model with --dtype float32, or check its weights",
    )


def check_rows(
    weights: torch.Tensor, layer: int, name: str, dtype: torch.dtype | None = None, rows: torch.Tensor | None = None,
    pairs: Sequence[str] = (),
) -> None:  # fmt: skip
    """Check that attention weights are finite, not negative, and that each row sums to 1 within :data:`TOLERANCE`.

    Args:
        weights: ``(..., queries, keys)``.
        dtype: the model's, if the weights have been converted since.
        rows: ``(..., queries)`` bool, the rows to check; ``None``: all.
        layer, name, pairs: for messages; ``pairs`` are what the first axis is of.

    Raises:
        NonFiniteError: NaN or infinity.
        ModelError: a row does not sum to 1, or a weight is negative.
    """
    import torch

    if weights.numel() == 0:
        return
    wide = weights.float() if weights.dtype in (torch.float16, torch.bfloat16) else weights
    sums, least = wide.sum(dim=-1), wide.amin(dim=-1)
    infinite = ~torch.isfinite(sums) if rows is None else ~torch.isfinite(sums) & rows
    if bool(infinite.any()):
        raise not_finite(f"attention of layer {layer}", name, infinite, pairs)
    if rows is not None:
        sums, least = sums[rows], least[rows]
    if not sums.numel():
        return
    worst = float((sums - 1).abs().max())
    if float(least.min()) < 0:
        raise ModelError(
            f"the attention of layer {layer} of {name} has negative weights: it returns scores from before the softmax",
            remedy="Choose a model that returns attention weights",
        )
    if worst > TOLERANCE.get(str(dtype or weights.dtype), 1e-4):
        raise ModelError(
            f"the attention of layer {layer} of {name} is no distribution: a row's sum is {worst:.2g} away from 1",
            remedy="Choose a model with plain softmax attention (no attention sinks, no dropout: call model.eval())",
        )
