"""What training starts from: the encoder's blocks, and a head: random, the identity, or fitted to the encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from batches import LOW, PAD, Corpus
from model import MaskedLM, Shape, from_bert
from torch import Tensor

SHIFT = 3.0  # gelu is the identity for what is shifted by so many standard deviations, and the norm takes it away
SHARPNESS = 0.3  # weight of the head's norm at first: a row that holds its sub-word's embedding gets it a logit of 9


def shape_of(data: Path, layers: int) -> Shape:
    """The shape of the prepared encoder's first `layers` blocks (0: all)."""
    import json

    c = json.loads((data / "config.json").read_text("utf-8"))
    every = int(c["num_hidden_layers"])
    if not 0 <= layers <= every:
        raise SystemExit(f"the encoder has {every} layers, not {layers}")
    return Shape(
        vocabulary=c["vocab_size"],
        layers=layers or every,
        width=c["hidden_size"],
        heads=c["num_attention_heads"],
        inner=c["intermediate_size"],
        positions=c["max_position_embeddings"],
        types=c["type_vocab_size"],
    )


def load_encoder(model: MaskedLM, data: Path) -> None:
    """Give the model the encoder's embeddings and blocks; the head stays as it is."""
    from safetensors.torch import load_file

    state = from_bert(load_file(data / "encoder.safetensors"), model.shape.layers)
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or {name.split(".")[0] for name in missing} - {"head", "head_norm", "bias"}:
        raise SystemExit(f"names that do not match: missing {missing}, unexpected {unexpected}")


@torch.no_grad()
def start_head(model: MaskedLM, kind: str, corpus: Corpus, seed: int) -> None:
    """Set the head. Its bias is the logarithm of the sub-words' frequency, whatever the kind.

    Args:
        kind: "random": as BERT's (standard deviation 0.02); "identity": the standardised output of the last block;
            "fitted": the linear map from the output of the last block over whole sentences to the embedding of the
            sub-word that stands there (ridge regression over 150 pairs).
    """
    frequency = corpus.frequencies(model.shape.vocabulary)
    model.bias.copy_(torch.from_numpy(np.log((frequency + 0.1) / (frequency + 0.1).sum())))
    if kind == "random":
        return
    states, wanted = _seen(model, corpus, seed)
    d = model.shape.width
    centre = states.mean(0)
    if kind == "fitted":
        table = model.words.weight
        y = wanted - table.mean(0)
        x = states - centre
        gram = x.T @ x
        weight = torch.linalg.solve(gram + 1e-3 * gram.diagonal().mean() * torch.eye(d), x.T @ y).T
    else:
        weight = torch.eye(d)
    made = (states - centre) @ weight.T
    weight = weight / made.std()
    model.head.weight.copy_(weight)
    model.head.bias.copy_(SHIFT - weight @ centre)
    model.head_norm.weight.fill_(SHARPNESS)


def _seen(model: MaskedLM, corpus: Corpus, seed: int, count: int = 150) -> tuple[Tensor, Tensor]:
    """The last block's output at all sub-words of some whole pairs, and the embeddings of these sub-words."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(corpus.corpus), min(count, len(corpus.corpus)), replace=False)
    rows = [np.concatenate([[0], corpus.row("de.ids", k), [2, 2], corpus.row("en.ids", k), [2]]) for k in chosen]
    rows.sort(key=len)
    states, wanted = [], []
    training = model.training
    model.eval()
    for start in range(0, len(rows), 50):
        part = rows[start : start + 50]
        ids = np.full((len(part), max(map(len, part))), PAD, dtype=np.int64)
        for i, row in enumerate(part):
            ids[i, : len(row)] = row
        table = torch.from_numpy(ids)
        mask = torch.where(table == PAD, LOW, 0.0)[:, None, None]
        places = torch.from_numpy(np.flatnonzero(ids > 3))
        states.append(model.states(table, mask, places))
        wanted.append(model.words.weight[table.reshape(-1)[places]])
    model.train(training)
    return torch.cat(states), torch.cat(wanted)
