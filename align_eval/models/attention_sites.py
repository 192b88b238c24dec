"""Where a transformer computes attention, and how its weights are taken out without keeping those of other layers.

The weights of a layer exist only while that layer runs. A hook on each layer that is asked for hands them on at once;
those of all others are freed with the layer, and the forward pass ends after the deepest one. Attention kernels that
return no weights (SDPA, flash) are switched to ``eager`` for the time of the pass and back afterwards.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from align_eval.errors import ModelError, NonFiniteError

if TYPE_CHECKING:
    import torch
    from torch import nn

Take = Callable[[int, "torch.Tensor"], None]
"""Called with a layer's number (1-based) and its weights ``(B, heads, queries, keys)``."""

KINDS = ("self", "cross", "decoder-self", "encoder-self")
_CROSS = re.compile(r"encoder_attn|EncDecAttention|cross_?attn|cross_?attention|encoder_attention", re.IGNORECASE)


class _Reached(Exception):
    """Leaves the forward pass when the deepest layer that is asked for has been taken."""


def attention_sites(model: nn.Module, kind: str, name: str = "the model") -> list[nn.Module]:
    """The attention modules of a ``transformers`` model, first layer first (layer 1 is item 0).

    Each is the innermost module that computes query, key and value, and returns its weights as the last item.

    Args:
        model: the model.
        kind: ``"self"`` (of an encoder or a decoder-only model), ``"cross"``, ``"decoder-self"`` or
            ``"encoder-self"`` (of an encoder-decoder model).
        name: the model's name, for messages.

    Raises:
        ModelError: the model has no such attention, or it cannot be found in its modules.
    """
    if kind not in KINDS:
        raise ModelError(f"unknown kind of attention {kind!r}", remedy=f"Choose one of {', '.join(KINDS)}")
    both: bool = bool(getattr(model.config, "is_encoder_decoder", False))
    if kind != "self" and not both:
        raise ModelError(
            f"{name} ({model.config.model_type}) is no encoder-decoder model and has no {kind} attention",
            remedy="Read the source-target block of its self-attention: readings awi and awo of a decoder-only model, "
            "block of an encoder",
        )
    if kind == "self" and both:
        raise ModelError(
            f"{name} is an encoder-decoder model: its self-attention is that of the encoder or of the decoder",
            remedy="Ask for cross, encoder-self or decoder-self attention",
        )
    stack: Any = model
    if kind == "encoder-self":
        stack = model.get_encoder()
    elif both:
        stack = model.get_decoder()
    for blocks in _block_lists(stack):
        found = [_in_block(block, cross=kind == "cross") for block in blocks]
        if all(site is not None for site in found):
            return [site for site in found if site is not None]
    raise ModelError(
        f"no {kind} attention is found in the modules of {name} ({model.config.model_type})",
        remedy="Choose a model whose blocks hold an attention module with query, key and value projections",
    )


def _block_lists(stack: nn.Module) -> Iterator[nn.ModuleList]:
    from torch import nn

    for module in stack.modules():
        if isinstance(module, nn.ModuleList) and len(module) > 0:
            yield module


def _in_block(block: nn.Module, cross: bool) -> nn.Module | None:
    """The innermost attention module of a block: a class named so that has projections among its own children."""
    best: nn.Module | None = None
    for path, module in block.named_modules():
        if "attention" not in type(module).__name__.lower() or bool(_CROSS.search(path)) != cross:
            continue
        if any(_projects(name, child) for name, child in module.named_children()):
            best = module
            break
    return best


def _projects(name: str, child: nn.Module) -> bool:
    return hasattr(child, "weight") and bool(
        re.fullmatch(r"q|q_proj|query|q_lin|query_key_value|c_attn|Wqkv|qkv_proj|in_proj|query_proj", name)
    )


@contextlib.contextmanager
def eager(model: Any, name: str = "the model") -> Iterator[None]:
    """Let ``model`` compute attention in the way that returns weights; the way it had comes back at the end.

    Raises:
        ModelError: it cannot be switched.
    """
    before = getattr(model.config, "_attn_implementation", "eager")
    if before in (None, "eager"):
        yield
        return
    remedy = "Load it with attn_implementation='eager', or update transformers (5.0 or later switches loaded models)"
    try:
        model.set_attn_implementation("eager")
    except (AttributeError, ImportError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"{name} cannot be switched from {before} to eager attention: {error}", remedy=remedy
        ) from error
    try:
        if model.config._attn_implementation != "eager":
            raise ModelError(f"{name} cannot be switched from {before} to eager attention", remedy=remedy)
        yield
    finally:
        model.set_attn_implementation(before)


def capture_attention(
    model: Any, sites: Mapping[int, nn.Module], run: Callable[[], Any], take: Take, name: str = "the model",
    *, to_end: bool = False,
) -> Any:  # fmt: skip
    """Run ``run()`` and hand the attention weights of ``sites`` to ``take`` as each layer computes them.

    Only what ``take`` keeps stays in memory. Nothing beyond the deepest layer is computed, unless ``to_end``; gradients
    are off.

    Args:
        model: the model that ``run`` calls.
        sites: the attention module of each layer (1-based number) that is asked for.
        run: one forward pass.
        take: see :data:`Take`. What it raises passes through.
        to_end: run the whole pass.

    Returns:
        what ``run()`` returns if ``to_end``, else ``None``.

    Raises:
        ModelError: a layer returned no weights, or was not reached.
    """
    import torch

    from align_eval.models.double import keep_double

    seen: set[int] = set()
    deepest = max(sites)

    def hook_for(layer: int) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            weights = output[-1] if isinstance(output, tuple) else None
            if not isinstance(weights, torch.Tensor) or weights.ndim != 4:
                raise ModelError(
                    f"layer {layer} of {name} returned no attention weights",
                    remedy="Update transformers to 5.0 or later, and load it with attn_implementation='eager'",
                )
            take(layer, weights)
            seen.add(layer)
            if layer == deepest and not to_end:
                raise _Reached

        return hook

    with eager(model, name), keep_double(model.dtype), torch.no_grad():
        handles = [site.register_forward_hook(hook_for(layer)) for layer, site in sites.items()]
        output = None
        try:
            output = run()
        except _Reached:
            pass
        finally:
            for handle in handles:
                handle.remove()
    if len(seen) != len(sites):
        missing = ", ".join(str(layer) for layer in sorted(set(sites) - seen))
        raise ModelError(f"layer {missing} of {name} was not computed", remedy="Check how the model was built")
    return output


# The greatest distance of a row's sum from 1 that rounding explains.
TOLERANCE = {"torch.float64": 1e-6, "torch.float32": 1e-4, "torch.float16": 1e-2, "torch.bfloat16": 4e-2}


def check_rows(
    weights: torch.Tensor,
    layer: int,
    name: str,
    dtype: torch.dtype | None = None,
    rows: torch.Tensor | None = None,
) -> None:
    """Check that attention weights are finite, not negative, and that each row sums to 1.

    Args:
        weights: ``(..., queries, keys)``.
        layer: its number, for messages.
        dtype: the model's, if the weights have been converted since.
        rows: ``(..., queries)`` bool, the rows to check; ``None``: all.

    Raises:
        NonFiniteError: NaN or infinity.
        ModelError: a row does not sum to 1 within :data:`TOLERANCE`, or a weight is negative.
    """
    import torch

    if weights.numel() == 0:
        return
    wide = weights.float() if weights.dtype in (torch.float16, torch.bfloat16) else weights
    sums, least = wide.sum(dim=-1), wide.amin(dim=-1)
    if rows is not None:
        sums, least = sums[rows], least[rows]
    if not sums.numel():
        return
    if not bool(torch.isfinite(sums).all()):
        raise NonFiniteError(
            f"the attention of layer {layer} of {name} has NaN or infinite weights",
            remedy="Load the model with --dtype float32, or check its weights",
        )
    worst = float((sums - 1).abs().max())
    if worst > TOLERANCE.get(str(dtype or weights.dtype), 1e-4) or float(least.min()) < 0:
        raise ModelError(
            f"the attention of layer {layer} of {name} is no distribution: a row's sum is {worst:.2g} away from 1",
            remedy="Choose a model with plain softmax attention (no attention sinks, no dropout: call model.eval())",
        )
