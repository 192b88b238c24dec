"""What an attention layer adds up: value and output projections, the residual connection, and norms as linear maps.

Each head's output is ``sum_j A_ij f(x_j)`` with ``f(x) = (x W_V + b_V) W_O``; the layer's is their sum plus ``b_O``.
Post-norm: ``y = LN(x + attention(x))``. Pre-norm: ``y = x + attention(LN(x))``, and Gemma 2 has one more norm, of the
attention's output: ``y = x + LN'(attention(LN(x)))``; OLMo 2 has that one alone. Where attention and feed-forward part
are added at once (GPT-J, Phi, Falcon), y is the stream with the attention alone.

:func:`parts_of` finds them in any architecture. Nothing is known by name: one short pass is recorded, and the parts are
those whose numbers fit, exactly:

- the output projection takes in ``sum_j A_ij v_j``, v the values that another projection gave out (possibly beside
  queries and keys, possibly shared by groups of heads);
- post-norm: a norm takes in ``x + a``, x what the attention module takes in and a what the output projection gives;
- pre-norm: a norm gives the attention module what it takes in, and took x in itself. ``x + a`` goes into a norm later
  on, or is added to the output of the feed-forward part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from align_eval.errors import InputError, ModelError
from align_eval.models.attention import eager, weights_of
from align_eval.models.double import keep_double

if TYPE_CHECKING:
    import torch
    from torch import nn

    from align_eval.models.pairs import PairModel

# The greatest difference, relative to the greatest number, that rounding explains.
TOLERANCE = {"torch.float64": 1e-9, "torch.float32": 1e-3, "torch.float16": 2e-2, "torch.bfloat16": 1e-1}


@dataclass(frozen=True)
class Form:
    """Where the values of the heads stand in what a projection gives out.

    ``shared`` key-value heads, each of ``width``, serve ``heads / shared`` neighbouring query heads. ``order`` is
    ``"alone"``: values only; ``"last"``: all queries, all keys, all values; ``"grouped"``: for each key-value head its
    queries, its key, its value.
    """

    heads: int
    shared: int
    width: int
    order: str

    def part(self, given: torch.Tensor) -> torch.Tensor:
        """The values in ``given`` ``(..., n)``, ``(..., shared, width)``; a view of it."""
        if self.order == "grouped":
            return given.unflatten(-1, (self.shared, -1, self.width))[..., -1, :]
        return given[..., -self.shared * self.width :].unflatten(-1, (self.shared, self.width))

    def split(self, given: torch.Tensor) -> torch.Tensor:
        """x W_V + b_V of every query head, ``(B, heads, K, width)``, of ``given`` ``(B, K, n)``."""
        return self.part(given).transpose(1, 2).repeat_interleave(self.heads // self.shared, dim=1)


def forms(size: int, heads: int, width: int) -> Iterator[Form]:
    """All ways in which ``size`` numbers may hold the values of ``heads`` heads of ``width``."""
    groups, rest = divmod(size, width)
    if rest:
        return
    if groups <= heads and heads % groups == 0:
        yield Form(heads, groups, width, "alone")
    shared, rest = divmod(groups - heads, 2)
    if shared > 0 and not rest and heads % shared == 0:
        yield Form(heads, shared, width, "last")
        yield Form(heads, shared, width, "grouped")


@dataclass(frozen=True)
class Projections:
    """The projections of the attention module ``site``.

    Attributes:
        value, output: the modules; ``value`` may give out queries and keys too.
        weight, bias: W_O, ``(d_value, d)``, d_value = heads x width of a head's value; b_O, ``(d,)``, or ``None``.
        form: where the values stand in what ``value`` gives out.
    """

    value: nn.Module
    output: nn.Module
    weight: torch.Tensor
    bias: torch.Tensor | None
    form: Form
    site: nn.Module

    def transformed(self, values: torch.Tensor) -> torch.Tensor:
        """f(x_j) of every head, ``(B, heads, K, d)``, of what ``value`` gave out, ``(B, K, ...)``."""
        split = self.form.split(values)
        out: torch.Tensor = split @ self.weight.to(values.dtype).unflatten(0, (self.form.heads, self.form.width))
        return out

    def watch(self, number: int) -> dict[tuple[int, str], nn.Module]:
        """What :meth:`taken` needs of a forward pass, for :func:`watched`."""
        inside = any(module is self.output for module in self.site.modules())
        mixed = {(number, "mixed-in"): self.output} if inside else {(number, "mixed-out"): self.site}
        return {(number, "value"): self.value, **mixed}

    def taken(self, kept: dict[Any, Any], number: int, weights: torch.Tensor, name: str) -> torch.Tensor:
        """What ``value`` gave out, in float32 or float64, once it is clear that the model mixes it and nothing else.

        Args:
            kept: what :func:`watched` kept; the part of layer ``number`` is taken out.
            weights: ``(B, heads, Q, K)``.

        Raises:
            ModelError: what goes into the output projection is not sum_j A_ij (x_j W_V + b_V) (a gate, a norm).
        """
        import torch

        values: torch.Tensor = kept.pop((number, "value"))
        mixed = kept.pop((number, "mixed-in")) if (number, "mixed-in") in kept else kept.pop((number, "mixed-out"))[0]
        tolerance = TOLERANCE.get(str(values.dtype), 1e-3)
        wide = torch.promote_types(values.dtype, torch.float32)
        values, mixed = values.to(wide), mixed.to(wide)
        found = (weights.to(values.dtype) @ self.form.split(values)).transpose(1, 2).flatten(2)
        if bool(((found - mixed.reshape(found.shape)).abs() > tolerance * (1 + mixed.abs().max())).any()):
            raise ModelError(
                f"the attention of {name} is more than a weighted sum of values (a gate, or a norm of the heads)",
                remedy="Choose a model with plain attention, or another attribution method",
            )
        return values


@contextlib.contextmanager
def watched(modules: Mapping[tuple[int, str], nn.Module]) -> Iterator[dict[Any, Any]]:
    """Keep what modules, by layer and role, give out during a pass, or take in if their role ends in ``-in``.

    Yields:
        a dictionary by layer and role, filled as the modules run; pop what is done with.
    """
    kept: dict[Any, Any] = {}

    def hook_for(key: tuple[int, str]) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            kept[key] = (arguments[0] if arguments else named["hidden_states"]) if key[1].endswith("-in") else output

        return hook

    handles = [module.register_forward_hook(hook_for(key), with_kwargs=True) for key, module in modules.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Residual:
    """The surroundings of one attention module.

    Attributes:
        post: whether the norm comes after the residual is added.
        norm: that norm, or the one in front of the attention, if there is one.
        after: the norm of the attention's output, before the residual is added, if there is one.
    """

    post: bool
    norm: nn.Module | None
    after: nn.Module | None


@dataclass(frozen=True)
class LinearNorm:
    """A layer norm as the linear map that it is once its statistics are fixed: ``norm(u) = scale L(u) + bias``.

    ``scale`` is 1 / standard deviation (or 1 / root mean square) of each vector, ``(..., 1)``; ``weight`` and ``bias``
    are ``(d,)``. L takes the mean away if it is ``centred`` (LayerNorm, not RMSNorm).
    """

    scale: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    centred: bool

    def turn(self, vectors: torch.Tensor) -> torch.Tensor:
        """L(v) of vectors ``(..., d)``; without the scale."""
        if self.centred:
            vectors = vectors - vectors.mean(dim=-1, keepdim=True)
        return vectors * self.weight.to(vectors.dtype)


def linear_norm(norm: nn.Module, given: torch.Tensor, name: str) -> LinearNorm:
    """The linear map of a norm at ``given``, ``(..., d)``; one whose output is not that of the map is refused."""
    import torch

    kind = type(norm).__name__
    weight: torch.Tensor | None = getattr(norm, "weight", None)
    bias: torch.Tensor | None = getattr(norm, "bias", None)
    dtype = given.dtype if weight is None else weight.dtype
    own = norm(given.to(dtype)).to(given.dtype)
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-3}.get(dtype, 5e-2)
    scales = [torch.ones_like(given[0, 0])] if weight is None else [weight, weight + 1]  # Gemma: 1 + weight
    named = (getattr(norm, "eps", None), getattr(norm, "variance_epsilon", None), 1e-5, 1e-6, 1e-12)
    for centred, scale_by, eps in product((True, False), scales, dict.fromkeys(e for e in named if e is not None)):
        middle = given - given.mean(dim=-1, keepdim=True) if centred else given
        scale = torch.rsqrt(middle.pow(2).mean(dim=-1, keepdim=True) + float(eps))
        found = LinearNorm(scale, scale_by, bias, centred)
        built = scale * found.turn(given) + (0 if bias is None else bias.to(given.dtype))
        if bool(((own - built).abs() <= tolerance * (1 + own.abs())).all()):
            return found
    raise ModelError(
        f"{kind} of {name} is neither a LayerNorm nor an RMSNorm", remedy="Choose another attribution method"
    )


# What a short pass reads.
WORDS = ("one", "more", "small", "house", "2")


class Part(NamedTuple):
    """An attention layer: its module, its projections, and what stands around it if that is of a known form."""

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
    """The parts of attention modules in the order given; one that is more than a sum of projected values is refused."""
    trace = _record(reader, sites)
    ends = sorted(end for _, end in trace.sites.values())
    return [_part(reader, trace, site, ends) for site in sites]


def require_residual(part: Part, reader: PairModel) -> Residual:
    """The residual connection and norm of a part, which must be of a known form."""
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

    trace = _Trace()
    begun: dict[int, int] = {}
    wanted = {id(site) for site in sites}
    blocks = {id(b) for m in reader.model.modules() if isinstance(m, torch.nn.ModuleList) for b in m}

    def before(module: nn.Module, arguments: Any, keywords: Any) -> None:
        begun[id(module)] = len(trace.calls)

    def after(module: nn.Module, arguments: Any, keywords: Any, output: Any) -> None:
        taken = next((x for x in (*arguments, *keywords.values()) if isinstance(x, torch.Tensor)), None)
        taken = keywords.get("hidden_states", taken)
        parts = output if isinstance(output, (tuple, list)) else (output,)
        given = next((x for x in parts if isinstance(x, torch.Tensor)), None)
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


def _linear(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return getattr(weight, "ndim", 0) == 2 and ("Linear" in type(module).__name__ or type(module).__name__ == "Conv1D")


def _norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() and next(module.children(), None) is None


def _part(reader: PairModel, trace: _Trace, site: nn.Module, ends: Sequence[int]) -> Part:
    import torch

    call, end = trace.sites.get(id(site), (None, 0))
    following = next((e for e in ends if e > end), len(trace.calls))
    found = None
    if call is not None and call.weights is not None:
        inside, later = trace.calls[call.begun : end], trace.calls[end:following]
        found = _projections(site, call.weights, inside, later)
    if found is None or call is None:
        name = f"{reader.name} ({reader.model.config.model_type})"
        raise ModelError(
            f"the attention of {name} is more than a weighted sum of values (a gate, or a norm of the heads), or its "
            "projections are not found",
            remedy="Choose another model, or another attribution method",
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
    """What stands around an attention module, from the calls before it and those up to the next one."""
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
