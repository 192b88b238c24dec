"""A light BERT encoder with a tied head for training: the state maps one to one to `BertForMaskedLM` (see `to_bert`).

Fused q/k/v products and the fast layers of ../train_tiny_deen/model.py. The last block and the head are computed at the
rows that have a label alone, and never more than a slice of the logits is held.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sibling import sibling
from torch import Tensor, nn

_fast = sibling("model")
Dropout, Linear, Softmax = _fast.Dropout, _fast.Linear, _fast.Softmax


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    layers: int = 12
    width: int = 384
    heads: int = 12
    inner: int = 1536
    positions: int = 512
    types: int = 2


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, heads: int) -> Tensor:
    """(B, T, D) three times and an additive mask (B, 1, 1, T) -> (B, T, D)."""
    b, t, d = q.shape
    q, k, v = (x.view(b, t, heads, d // heads).transpose(1, 2) for x in (q * (d // heads) ** -0.5, k, v))
    scores = torch.matmul(q, k.transpose(2, 3))
    if mask is not None:
        scores = scores + mask
    p = Softmax.apply(scores) if torch.is_grad_enabled() else torch.softmax(scores, dim=-1)
    return torch.matmul(p, v).transpose(1, 2).reshape(b, t, d)


class Block(nn.Module):
    def __init__(self, shape: Shape, rate: float) -> None:
        super().__init__()
        d = shape.width
        self.heads = shape.heads
        self.qkv = Linear(d, 3 * d)
        self.out = Linear(d, d)
        self.norm1 = nn.LayerNorm(d, eps=1e-12)
        self.fc1 = Linear(d, shape.inner)
        self.fc2 = Linear(shape.inner, d)
        self.norm2 = nn.LayerNorm(d, eps=1e-12)
        self.drop = Dropout(rate)

    def forward(self, x: Tensor, mask: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D), or (R, D) at the flat places `rows` of B times T."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        y = attend(q, k, v, mask, self.heads)
        if rows is not None:
            x, y = x.reshape(-1, x.shape[-1])[rows], y.reshape(-1, y.shape[-1])[rows]
        x = self.norm1(x + self.drop(self.out(y)))
        return self.norm2(x + self.drop(self.fc2(F.gelu(self.fc1(x)))))


class MaskedLM(nn.Module):
    def __init__(self, shape: Shape, rate: float = 0.0) -> None:
        super().__init__()
        d = shape.width
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, d)
        self.places = nn.Embedding(shape.positions, d)
        self.types = nn.Embedding(shape.types, d)
        self.norm = nn.LayerNorm(d, eps=1e-12)
        self.drop = Dropout(rate)
        self.blocks = nn.ModuleList(Block(shape, rate) for _ in range(shape.layers))
        self.head = Linear(d, d)
        self.head_norm = nn.LayerNorm(d, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def freeze(self, layers: int) -> None:
        """Leave the embeddings (the head's table too) and the first so many blocks out of training; 0: nothing."""
        if layers:
            for part in (self.words, self.places, self.types, self.norm, *self.blocks[:layers]):
                part.requires_grad_(False)

    def states(self, ids: Tensor, mask: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """Ids (B, T) and an additive mask (B, 1, 1, T) -> the last block's output, (B, T, D) or (R, D) at `rows`."""
        x = F.embedding(ids, self.words.weight) + self.places.weight[: ids.shape[1]] + self.types.weight[0]
        x = self.drop(self.norm(x))
        for block in self.blocks[:-1]:
            x = block(x, mask)
        return self.blocks[-1](x, mask, rows)

    def forward(self, ids: Tensor, mask: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """As `states`, after the head's transformation: its products with the table, and the bias, are the logits."""
        return self.head_norm(F.gelu(self.head(self.states(ids, mask, rows))))


class SlicedCrossEntropy(torch.autograd.Function):
    """Sum over rows of the cross-entropy, and which rows are right; the forward pass makes the gradients."""

    @staticmethod
    def forward(ctx, states, table, bias, labels, slice_rows):  # type: ignore[no-untyped-def]
        total = torch.zeros((), dtype=torch.float32)
        d_states = torch.empty_like(states)
        turned = table.t().contiguous()
        d_table = torch.zeros(turned.shape, dtype=torch.float32)
        d_bias = torch.zeros(bias.shape, dtype=torch.float32)
        hits = torch.empty(len(labels), dtype=torch.bool)
        for start in range(0, len(states), slice_rows):
            h, y = states[start : start + slice_rows], labels[start : start + slice_rows]
            z = torch.addmm(bias, h, turned).float()
            gold = z.gather(1, y[:, None])
            top = z.amax(1, keepdim=True)
            hits[start : start + slice_rows] = (gold >= top)[:, 0]
            p = z.sub_(top).exp_()
            norm = p.sum(1, keepdim=True)
            total += (norm.log() + top - gold).sum()
            p.div_(norm)
            p.scatter_add_(1, y[:, None], torch.full_like(norm, -1.0))
            d_bias += p.sum(0)
            g = p.to(states.dtype)
            d_states[start : start + slice_rows] = g @ table
            if ctx.needs_input_grad[1]:
                d_table += h.t().contiguous() @ g
        ctx.save_for_backward(d_states, d_table.to(table.dtype).t().contiguous(), d_bias.to(bias.dtype))
        ctx.mark_non_differentiable(hits)
        return total, hits

    @staticmethod
    def backward(ctx, grad, _hits):  # type: ignore[no-untyped-def]
        d_states, d_table, d_bias = ctx.saved_tensors
        return d_states * grad, d_table * grad if ctx.needs_input_grad[1] else None, d_bias * grad, None, None


HEAD = {"head": "cls.predictions.transform.dense", "head_norm": "cls.predictions.transform.LayerNorm"}
EMBEDDINGS = {"words": "word_embeddings", "places": "position_embeddings", "types": "token_type_embeddings"}
BLOCK = {
    "out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "norm2": "output.LayerNorm",
}
QKV = ("query", "key", "value")


def from_bert(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The first `layers` blocks of a `BertModel.state_dict()`, as a state without head."""
    out = {f"{ours}.weight": state[f"embeddings.{theirs}.weight"] for ours, theirs in EMBEDDINGS.items()}
    for kind in ("weight", "bias"):
        out[f"norm.{kind}"] = state[f"embeddings.LayerNorm.{kind}"]
        for i in range(layers):
            there = f"encoder.layer.{i}"
            parts = [state[f"{there}.attention.self.{part}.{kind}"] for part in QKV]
            out[f"blocks.{i}.qkv.{kind}"] = torch.cat(parts)
            for ours, theirs in BLOCK.items():
                out[f"blocks.{i}.{ours}.{kind}"] = state[f"{there}.{theirs}.{kind}"]
    return out


def to_bert(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The `BertForMaskedLM.state_dict()` of a state."""
    out = {f"bert.embeddings.{theirs}.weight": state[f"{ours}.weight"] for ours, theirs in EMBEDDINGS.items()}
    out["cls.predictions.decoder.weight"] = state["words.weight"]
    out["cls.predictions.bias"] = out["cls.predictions.decoder.bias"] = state["bias"]
    for kind in ("weight", "bias"):
        out[f"bert.embeddings.LayerNorm.{kind}"] = state[f"norm.{kind}"]
        for ours, theirs in HEAD.items():
            out[f"{theirs}.{kind}"] = state[f"{ours}.{kind}"]
        for i in range(layers):
            there = f"bert.encoder.layer.{i}"
            for part, tensor in zip(QKV, state[f"blocks.{i}.qkv.{kind}"].chunk(3), strict=True):
                out[f"{there}.attention.self.{part}.{kind}"] = tensor.clone()
            for ours, theirs in BLOCK.items():
                out[f"{there}.{theirs}.{kind}"] = state[f"blocks.{i}.{ours}.{kind}"]
    return out
