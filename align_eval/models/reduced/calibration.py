"""How large the inputs of each product become: measured once for a model, on text that the package ships.

The ranges lie in the cache, one safetensors file with a manifest of its sha256 beside it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from align_eval.files import cache_folder
from align_eval.models import store
from align_eval.models.reduced.blocks import Block

if TYPE_CHECKING:
    from align_eval.models.encoder import Encoder

TEXT = ("mini-ende", "mini-enes", "mini-enfr", "mini-enzh")
SENTENCES = 64
# Of what is measured and how; another number measures anew.
VERSION = 1

Ranges = dict[str, Tensor]
"""``"<block from 0>.<product>"``: ``(in,)`` float32, the greatest absolute value of each input of the product."""


def input_ranges(encoder: Encoder, blocks: list[Block]) -> Ranges:
    """The ranges of a model's products, from the cache, or measured and put there.

    Args:
        blocks: the encoder's, in float32.

    Raises:
        OutputError: the cache cannot be written.
        ChecksumError, MissingFileError: the text that the package ships is damaged or missing.
    """
    from safetensors.torch import load_file

    folder = store.build(_folder(encoder, blocks), lambda into: _write(into, measure(encoder, blocks)))
    return dict(load_file(folder / "ranges.safetensors"))


def _folder(encoder: Encoder, blocks: list[Block]) -> Path:
    """A folder in the cache for the model's weights, whatever the model is called."""
    digest = hashlib.sha256(f"{VERSION} {encoder.heads} {len(blocks)}".encode())
    for block in blocks:
        for linear in (block.qkv, block.out, block.up, block.down):
            digest.update(np.ascontiguousarray(linear.weight.numpy()).tobytes())
    return cache_folder() / "ranges" / digest.hexdigest()[:24]


def _write(into: Path, ranges: Ranges) -> None:
    from safetensors.torch import save_file

    save_file(ranges, into / "ranges.safetensors")


def measure(encoder: Encoder, blocks: list[Block]) -> Ranges:
    """Run the shipped sentences through the blocks in float32 and note the ranges."""
    from align_eval.corpora import load_testset

    found: Ranges = {}
    sides: list[list[str]] = []
    for name in TEXT:
        for pair in load_testset(name).pairs[: SENTENCES // (2 * len(TEXT))]:
            sides += [list(pair.source), list(pair.target)]
    with torch.inference_mode():
        for ids in encoder.tokenize(sides).ids:
            row = np.concatenate((encoder.prefix, ids[: encoder.window], encoder.suffix))
            x = encoder.model.embeddings(input_ids=torch.from_numpy(row)[None])
            for number, block in enumerate(blocks):

                def see(name: str, given: Tensor, number: int = number) -> None:
                    key, size = f"{number}.{name}", given.abs().amax(dim=(0, 1))
                    found[key] = torch.maximum(found[key], size) if key in found else size

                x = block(x, None, encoder.heads, see)
    return {key: size.clone() for key, size in found.items()}
