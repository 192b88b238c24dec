"""Where an attention module's value and output projections, norms and residual connection are, of any architecture.

Nothing is known by name. One short pass is recorded, and the parts are those whose numbers fit, exactly:

- the output projection takes in ``sum_j A_ij v_j``, v the values that another projection gave out (possibly beside
  queries and keys, possibly shared by groups of heads);
- post-norm: a norm takes in ``x + a``, x what the attention module takes in and a what the output projection gives;
- pre-norm: a norm gives the attention module what it takes in, and took x in itself. ``x + a`` goes into a norm later
  on, or is added to the output of the feed-forward part. There may be one more norm, of a (Gemma 2), and none in front
  (OLMo 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError, ModelError
from align_eval.models.attention import eager, weights_of
from align_eval.models.linear import TOLERANCE, Form, Projections, Residual, forms

if TYPE_CHECKING:
    import torch
    from torch import nn

    from align_eval.models.pairs import PairModel

WORDS = ("one", "more", "small", "house", "2")


@dataclass(frozen=True)
class Part:
    """An attention layer of a model.

    Attributes:
        site: the attention module.
        projections: of its values and its output.
        residual: what stands around it; ``None``: nothing of a known form.
    """

    site: nn.Module
    projections: Projections
    residual: Residual | None


@dataclass
class _Call:
    """One call of a module: what it took in and gave out, and how many calls had ended when it began."""

    module: nn.Module
    taken: torch.Tensor
    given: torch.Tensor
    begun: int = 0
    weights: torch.Tensor | None = None


@dataclass
class _Trace:
    """All calls of linear maps and norms in the order in which they end; those of sites and blocks apart."""

    calls: list[_Call] = field(default_factory=list)
    sites: dict[int, tuple[_Call, int]] = field(default_factory=dict)
    blocks: dict[int, _Call] = field(default_factory=dict)


def parts_of(reader: PairModel, sites: Sequence[nn.Module]) -> list[Part]:
    """The parts of attention modules, in the order given.

    Args:
        reader: the model that they are in.
        sites: of :func:`align_eval.models.attention.attention_sites`, of one kind or several.

    Raises:
        ModelError: a module's output is no sum of projected values (a gate, a norm of the heads), or its projections
            are not found.
    """
    trace = _record(reader, sites)
    ends = sorted(end for _, end in trace.sites.values())
    return [_part(reader, trace, site, ends) for site in sites]


def require_residual(part: Part, reader: PairModel) -> Residual:
    """The residual connection and norm of a part.

    Raises:
        ModelError: they are not of a known form.
    """
    if part.residual is None:
        raise ModelError(
            f"the residual connection and the norm around the attention of {reader.name} "
            f"({reader.model.config.model_type}) are not of a known form: norm(x + attention(x)) or "
            "x + attention(norm(x))",
            remedy="Choose another model, or another attribution method",
        )
    return part.residual


def _record(reader: PairModel, sites: Sequence[nn.Module]) -> _Trace:
    import torch

    from align_eval.corpora import SentencePair
    from align_eval.models.double import keep_double

    trace = _Trace()
    begun: dict[int, int] = {}
    wanted = {id(site) for site in sites}
    blocks = {id(b) for m in reader.model.modules() if isinstance(m, torch.nn.ModuleList) for b in m}

    def before(module: nn.Module, arguments: Any, keywords: Any) -> None:
        begun[id(module)] = len(trace.calls)

    def after(module: nn.Module, arguments: Any, keywords: Any, output: Any) -> None:
        taken = next((x for x in (*arguments, *keywords.values()) if isinstance(x, torch.Tensor)), None)
        taken = keywords.get("hidden_states", taken)
        given = output if isinstance(output, torch.Tensor) else next(iter(_tensors(output)), None)
        if taken is None or given is None or not taken.is_floating_point():
            return
        call = _Call(module, taken.clone(), given.clone(), begun.get(id(module), 0), weights_of(output))
        if id(module) in wanted:
            trace.sites[id(module)] = call, len(trace.calls)
        elif id(module) in blocks:
            trace.blocks[id(module)] = call
        if _linear(module) or _norm(module):
            trace.calls.append(call)

    watched = [m for m in reader.model.modules() if id(m) in wanted | blocks or _linear(m) or _norm(m)]
    handles = [m.register_forward_pre_hook(before, with_kwargs=True) for m in watched]
    handles += [m.register_forward_hook(after, with_kwargs=True) for m in watched]
    pair = SentencePair("probe", WORDS, WORDS[1:])
    try:
        layouts = reader.lay_out([pair])
    except InputError:  # its languages are not named yet; any will do here
        codes: dict[str, str] = getattr(reader, "codes", {})
        if not codes:
            raise
        other: Any = reader
        layouts = other.with_languages(next(iter(codes)), next(reversed(codes))).lay_out([pair])
    try:
        with eager(reader.model, reader.name), keep_double(reader.dtype), torch.no_grad():
            reader.forward(layouts)
    finally:
        for handle in handles:
            handle.remove()
    return trace


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    import torch

    for item in output if isinstance(output, (tuple, list)) else ():
        if isinstance(item, torch.Tensor):
            yield item


def _linear(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return getattr(weight, "ndim", 0) == 2 and ("Linear" in type(module).__name__ or type(module).__name__ == "Conv1D")


def _norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() and next(module.children(), None) is None


def _part(reader: PairModel, trace: _Trace, site: nn.Module, ends: Sequence[int]) -> Part:
    import torch

    name = f"{reader.name} ({reader.model.config.model_type})"
    remedy = "Choose another model, or another attribution method"
    call, end = trace.sites.get(id(site), (None, 0))
    following = next((e for e in ends if e > end), len(trace.calls))
    found = None
    if call is not None and call.weights is not None:
        inside, later = trace.calls[call.begun : end], trace.calls[end:following]
        found = _projections(site, call.weights, inside, later)
    if found is None or call is None:
        raise ModelError(
            f"the attention of {name} is more than a weighted sum of values (a gate, or a norm of the heads), or its "
            "projections are not found",
            remedy=remedy,
        )
    own, made = found
    block = next((b for b in trace.blocks.values() if any(m is site for m in b.module.modules())), None)
    earlier = trace.calls[: call.begun]
    with torch.no_grad():
        return Part(site, own, _residual(call, made, earlier, [*inside, *later], block))


def _projections(
    site: nn.Module, weights: torch.Tensor, inside: Sequence[_Call], later: Sequence[_Call]
) -> tuple[Projections, _Call] | None:
    """The projections whose numbers fit best, and the call of the output projection."""
    batch, heads, rows, keys = weights.shape
    linear = [call for call in inside if _linear(call.module)]
    outputs = [*linear, *[call for call in later if _linear(call.module)][:1]]
    best: tuple[float, _Call, _Call, Form] | None = None
    for out in outputs:
        width, rest = divmod(out.taken.shape[-1], heads)
        if rest or out.taken.numel() != batch * rows * heads * width:
            continue
        mixed = out.taken.reshape(batch, rows, heads * width)
        for value in linear:
            if value is out or value.given.shape[:-1] != (batch, keys):
                continue
            for form in forms(value.given.shape[-1], heads, width):
                wide = form.split(value.given).to(mixed.dtype)
                again = (weights.to(mixed.dtype) @ wide).transpose(1, 2).flatten(2)
                off = float((again - mixed).abs().max() / (1 + mixed.abs().max()))
                if best is None or off < best[0]:
                    best = off, out, value, form
    if best is None or best[0] > TOLERANCE.get(str(best[1].taken.dtype), 1e-3):
        return None
    _, out, value, form = best
    module: Any = out.module
    weight = module.weight if type(module).__name__ == "Conv1D" else module.weight.T
    return Projections(value.module, module, weight, getattr(module, "bias", None), form, site), out


def _residual(
    site: _Call, out: _Call, earlier: Sequence[_Call], after: Sequence[_Call], block: _Call | None
) -> Residual | None:
    added = out.given
    norms = [call for call in after if _norm(call.module)]
    if site.taken.shape != added.shape:
        return None

    def carried(stream: torch.Tensor, total: torch.Tensor) -> bool:
        """Whether the block gives out their sum with the output of its feed-forward part."""
        shape = stream.shape if block is None else block.given.shape
        feeds = [call.given for call in after if call.given.shape == shape == total.shape]
        return block is not None and any(_is_sum(block.given, stream, total, feed) for feed in feeds)

    for norm in norms:
        # If the sum itself goes on, it is the norm of the feed-forward part, and the attention has none in front.
        if _is_sum(norm.taken, site.taken, added) and not carried(site.taken, added):
            return Residual(True, norm.module, None)
    before = next((c for c in reversed(earlier) if _norm(c.module) and _same(c.given, site.taken)), None)
    of_output = next((c for c in norms if _same(c.taken, added)), None)
    for front in (*([] if before is None else [before]), None):
        stream = site.taken if front is None else front.taken
        for last in (*([] if of_output is None else [of_output]), None):
            total = added if last is None else last.given
            if stream.shape != total.shape:
                continue
            if any(_is_sum(call.taken, stream, total) for call in norms) or carried(stream, total):
                return Residual(False, None if front is None else front.module, None if last is None else last.module)
    return None


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.numel() == other.numel() and bool((one.flatten() == other.flatten().to(one.dtype)).all())


def _is_sum(total: torch.Tensor, *parts: torch.Tensor) -> bool:
    """Whether every number is the sum of the parts' numbers, up to the rounding of a few additions."""
    import torch

    if total.numel() != parts[0].numel():
        return False
    flat = [part.flatten().cpu().double() for part in parts]
    eps = max(torch.finfo(part.dtype).eps for part in (total, *parts))
    scale = sum(part.abs() for part in flat)
    return bool(((total.flatten().cpu().double() - sum(flat)).abs() <= 4 * eps * scale + 1e-30).all())
