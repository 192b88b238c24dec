"""A light Marian transformer for training: the state maps one to one to `MarianMTModel` (see `to_marian`).

Post-norm, sinusoidal positions, scaled shared embeddings, relu; fused q/k/v products, byte-drawn dropout, and a
cross-entropy that never holds more than a slice of the logits. The scores of one cross-attention head are returned too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    vocabulary: int = 8000
    width: int = 256
    heads: int = 8
    inner: int = 1024
    encoder_layers: int = 4
    decoder_layers: int = 3
    guided_layer: int = 1  # 0-based decoder layer whose head 0 is guided; with `refined`, the last of them
    positions: int = 512
    refined: int = 0  # so many layers below the guided one have their head 0 guided too


def positions(count: int, width: int) -> Tensor:
    """Marian's sinusoids: sines in the first half of the width, cosines in the second."""
    position = torch.arange(count, dtype=torch.float64)[:, None]
    rate = torch.pow(10000.0, 2 * torch.arange(width // 2, dtype=torch.float64) / width)[None]
    return torch.cat([torch.sin(position / rate), torch.cos(position / rate)], dim=1).float()


class Dropout(nn.Module):
    """Dropout by random bytes: the rate is rounded to a multiple of 1/256."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.level = round(rate * 256)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.level == 0:
            return x
        drawn = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), 2**63 - 1)
        keep = drawn.view(torch.uint8)[: x.numel()].view_as(x) >= self.level
        return x * (keep.to(x.dtype) * (256 / (256 - self.level)))


class Softmax(torch.autograd.Function):
    """Softmax over a short last axis without the shift by the maximum: 88 overflows, over 80 counts as 80."""

    @staticmethod
    def forward(ctx, scores):  # type: ignore[no-untyped-def]
        e = torch.exp(scores.float().clamp(max=80.0))
        p = e.div_(e.sum(-1, keepdim=True)).to(scores.dtype)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (p,) = ctx.saved_tensors
        t = grad * p
        return t - p * t.sum(-1, keepdim=True)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, heads: int) -> tuple[Tensor, Tensor]:
    """(B, T, D), (B, S, D), (B, S, D) -> (B, T, D), and the masked scores (B, H, T, S) before the softmax."""
    b, t, d = q.shape
    s = k.shape[1]
    q = q.view(b, t, heads, d // heads).transpose(1, 2)
    k = k.view(b, s, heads, d // heads).transpose(1, 2)
    v = v.view(b, s, heads, d // heads).transpose(1, 2)
    scores = torch.matmul(q * (d // heads) ** -0.5, k.transpose(2, 3))
    masked = scores if mask is None else scores + mask
    out = torch.matmul(Softmax.apply(masked) if torch.is_grad_enabled() else torch.softmax(masked, dim=-1), v)
    return out.transpose(1, 2).reshape(b, t, d), masked


class FastLinear(torch.autograd.Function):
    """x W^T + b with the weight gradient taken over the narrower transpose and the bias gradient as a product."""

    @staticmethod
    def forward(ctx, x, weight, bias):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, weight)
        return torch.addmm(bias, x, weight.t())

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        x, weight = ctx.saved_tensors
        d_x = grad @ weight if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return d_x, None, None
        ones = torch.ones(1, x.shape[0], dtype=x.dtype)
        if weight.shape[0] <= weight.shape[1]:
            d_weight = grad.t().contiguous() @ x
        else:
            d_weight = (x.t().contiguous() @ grad).t().contiguous()
        return d_x, d_weight, (ones @ grad).squeeze(0)


class Linear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        return FastLinear.apply(x.reshape(-1, x.shape[-1]), self.weight, self.bias).view(*x.shape[:-1], -1)


class Layer(nn.Module):
    def __init__(self, shape: Shape, cross: bool, rate: float) -> None:
        super().__init__()
        d = shape.width
        self.heads = shape.heads
        self.qkv = Linear(d, 3 * d)
        self.out = Linear(d, d)
        self.norm1 = nn.LayerNorm(d)
        if cross:
            self.cross_q = Linear(d, d)
            self.cross_kv = Linear(d, 2 * d)
            self.cross_out = Linear(d, d)
            self.norm2 = nn.LayerNorm(d)
        self.fc1 = Linear(d, shape.inner)
        self.fc2 = Linear(shape.inner, d)
        self.norm3 = nn.LayerNorm(d)
        self.drop = Dropout(rate)

    def forward(
        self, x: Tensor, mask: Tensor | None, memory: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        y, _ = attend(q, k, v, mask, self.heads)
        x = self.norm1(x + self.drop(self.out(y)))
        scores = None
        if memory is not None:
            k, v = self.cross_kv(memory).chunk(2, dim=-1)
            y, scores = attend(self.cross_q(x), k, v, memory_mask, self.heads)
            x = self.norm2(x + self.drop(self.cross_out(y)))
        y = self.fc2(F.relu(self.fc1(x)))
        return self.norm3(x + self.drop(y)), scores


class Transformer(nn.Module):
    def __init__(self, shape: Shape, rate: float = 0.1) -> None:
        super().__init__()
        self.shape = shape
        self.shared = nn.Embedding(shape.vocabulary, shape.width)
        self.encoder = nn.ModuleList(Layer(shape, False, rate) for _ in range(shape.encoder_layers))
        self.decoder = nn.ModuleList(Layer(shape, True, rate) for _ in range(shape.decoder_layers))
        self.drop = Dropout(rate)
        self.register_buffer("sinusoids", positions(shape.positions, shape.width), persistent=False)
        nn.init.normal_(self.shared.weight, std=shape.width**-0.5)
        for name, p in self.named_parameters():
            if p.dim() == 2 and not name.startswith("shared"):
                if "qkv" in name or "cross_kv" in name:
                    for part in p.data.chunk(3 if "qkv" in name else 2):
                        nn.init.xavier_uniform_(part)
                else:
                    nn.init.xavier_uniform_(p)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def embed(self, ids: Tensor) -> Tensor:
        scale = math.sqrt(self.shape.width)
        return self.drop(F.embedding(ids, self.shared.weight) * scale + self.sinusoids[: ids.shape[1]])

    def forward(
        self, source: Tensor, source_mask: Tensor | None, target: Tensor, target_mask: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Decoder states (B, T, D), and the masked scores (B, T, S) of the guided heads. Masks are additive."""
        x = self.embed(source)
        for layer in self.encoder:
            x, _ = layer(x, source_mask)
        y = self.embed(target)
        guided = []
        for number, layer in enumerate(self.decoder):
            y, scores = layer(y, target_mask, x, source_mask)
            if 0 <= self.shape.guided_layer - number <= self.shape.refined:
                guided.append(scores[:, 0])
        return y, guided


def grown(state: dict[str, Tensor], layers: int, wanted: int) -> dict[str, Tensor]:
    """The state of a decoder of `layers` layers with copies of its last one put on top until there are `wanted`."""
    last = f"decoder.{layers - 1}."
    top = {name.removeprefix(last): tensor for name, tensor in state.items() if name.startswith(last)}
    copies = {f"decoder.{i}.{name}": t.clone() for i in range(layers, wanted) for name, t in top.items()}
    return {**state, **copies}


class SlicedCrossEntropy(torch.autograd.Function):
    """Sum over rows of weight * label-smoothed cross-entropy; the forward pass makes the gradients, slice by slice."""

    @staticmethod
    def forward(ctx, states, table, labels, weights, smoothing, slice_rows):  # type: ignore[no-untyped-def]
        total = states.new_zeros((), dtype=torch.float32)
        plain = states.new_zeros((), dtype=torch.float32)
        d_states = torch.empty_like(states)
        turned = table.t().contiguous()
        d_table = torch.zeros(turned.shape, dtype=torch.float32)
        average = table.float().mean(0)  # the mean logit of a row is its product with this
        hits = torch.empty(len(labels), dtype=torch.bool)
        for start in range(0, len(states), slice_rows):
            h, y, w = (t[start : start + slice_rows] for t in (states, labels, weights))
            z = h @ turned
            gold = z.gather(1, y[:, None]).squeeze(1).float()
            hits[start : start + slice_rows] = gold >= z.amax(1)
            p = z.float().exp_()  # logits of a normalised state stay far below the 88 at which float32 overflows
            norm = p.sum(1)
            lse = norm.log()
            total += (w * (lse - (1 - smoothing) * gold - smoothing * (h.float() @ average))).sum()
            plain += (w * (lse - gold)).sum()
            p.mul_((w / norm)[:, None])
            p.scatter_add_(1, y[:, None], (-(1 - smoothing) * w)[:, None])
            g = p.to(states.dtype)
            even = w * smoothing  # the smoothed part of the gradient is the same for every entry: rank one
            d_states[start : start + slice_rows] = (g @ table) - (even[:, None] * average).to(states.dtype)
            if ctx.needs_input_grad[1]:
                d_table += h.t().contiguous() @ g
                d_table -= (even / table.shape[0] @ h.float())[:, None]
        ctx.save_for_backward(d_states, d_table.to(table.dtype).t().contiguous())
        ctx.mark_non_differentiable(plain, hits)
        return total, plain, hits

    @staticmethod
    def backward(ctx, grad, _plain, _hits):  # type: ignore[no-untyped-def]
        d_states, d_table = ctx.saved_tensors
        return d_states * grad, d_table * grad if ctx.needs_input_grad[1] else None, None, None, None, None


def _names(shape: Shape) -> Iterator[tuple[str, list[str]]]:
    """Name of a weight here (a matrix and its bias), and those of `MarianMTModel` that its rows are split into."""
    for side, count in (("encoder", shape.encoder_layers), ("decoder", shape.decoder_layers)):
        for i in range(count):
            here, there = f"{side}.{i}", f"model.{side}.layers.{i}"
            own, cross = f"{there}.self_attn", f"{there}.encoder_attn"
            yield f"{here}.qkv", [f"{own}.{part}_proj" for part in "qkv"]
            yield f"{here}.out", [f"{own}.out_proj"]
            yield f"{here}.norm1", [f"{own}_layer_norm"]
            if side == "decoder":
                yield f"{here}.cross_q", [f"{cross}.q_proj"]
                yield f"{here}.cross_kv", [f"{cross}.k_proj", f"{cross}.v_proj"]
                yield f"{here}.cross_out", [f"{cross}.out_proj"]
                yield f"{here}.norm2", [f"{cross}_layer_norm"]
            yield f"{here}.fc1", [f"{there}.fc1"]
            yield f"{here}.fc2", [f"{there}.fc2"]
            yield f"{here}.norm3", [f"{there}.final_layer_norm"]


def to_marian(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Names and splits of `MarianMTModel.state_dict()` (without the sinusoids, which it makes itself)."""
    out = {"model.shared.weight": state["shared.weight"], "final_logits_bias": torch.zeros(1, shape.vocabulary)}
    for here, parts in _names(shape):
        for kind in ("weight", "bias"):
            rows = state[f"{here}.{kind}"].chunk(len(parts))
            out.update({f"{part}.{kind}": tensor.clone() for part, tensor in zip(parts, rows, strict=True)})
    return out


def from_marian(folder: Path) -> tuple[dict[str, Tensor], Shape]:
    """The state of a folder that `export.py` wrote, float32, and its shape: what `to_marian` made, undone."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shape = Shape(
        vocabulary=config["vocab_size"],
        width=config["d_model"],
        heads=config["encoder_attention_heads"],
        inner=config["encoder_ffn_dim"],
        encoder_layers=config["encoder_layers"],
        decoder_layers=config["decoder_layers"],
        guided_layer=config["guided_attention"]["layer"] - 1,
        positions=config["max_position_embeddings"],
    )
    stored = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    state = {"shared.weight": stored["model.shared.weight"]}
    for here, parts in _names(shape):
        for kind in ("weight", "bias"):
            state[f"{here}.{kind}"] = torch.cat([stored[f"{part}.{kind}"] for part in parts])
    return state, shape
