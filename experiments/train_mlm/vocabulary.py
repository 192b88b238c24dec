"""A unigram tokenizer with fewer pieces, which cuts words as the full one does where their pieces are kept.

The best cut of a word into pieces is the one of largest total score. Scores stay as they are, so that a cut of which
all pieces are kept is still the best one: those that are gone only take other cuts away.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0 to 3, as in the full tokenizer
PAD, UNK = 1, 3
MASK = "<mask>"  # the last id


def kept_pieces(
    full: dict[str, Any], counts: np.ndarray, characters: Iterable[str], limit: int
) -> tuple[list[int], int]:
    """Which pieces of a tokenizer stay.

    Args:
        full: a ``tokenizer.json`` with a unigram model.
        counts: how often each piece is used in the text, by its id.
        characters: those of the text; pieces of one of them alone stay, whatever their count.
        limit: largest number of pieces, special ones counted.

    Returns:
        ids of the full tokenizer, ascending, special ones and the mask with them; and the smallest count that stays.

    Raises:
        ValueError: the limit leaves no room for the single characters.
    """
    vocabulary = [piece for piece, _ in full["model"]["vocab"]]
    mask = _mask_id(full)
    single = set(characters) | {"▁"}
    always = {k for k, piece in enumerate(vocabulary) if piece in single} | set(range(len(SPECIAL))) | {mask}
    if len(always) > limit:
        raise ValueError(f"{len(always)} special pieces and single characters do not fit a limit of {limit}")
    minimum = 1
    while len(kept := always | set(np.flatnonzero(counts >= minimum).tolist())) > limit:
        minimum += 1
    return sorted(kept), minimum


def trimmed(full: dict[str, Any], kept: list[int]) -> dict[str, Any]:
    """The ``tokenizer.json`` with the pieces ``kept`` alone (ids of the full one), numbered anew in their order."""
    out = copy.deepcopy(full)
    vocabulary = full["model"]["vocab"]
    mask = _mask_id(full)
    if kept[: len(SPECIAL)] != list(range(len(SPECIAL))) or kept[-1] != mask:
        raise ValueError("the special pieces come first and the mask last")
    pieces = [vocabulary[k] if k < len(vocabulary) else [MASK, 0.0] for k in kept]
    out["model"] = {**full["model"], "vocab": pieces}
    new = {old: k for k, old in enumerate(kept)}
    out["added_tokens"] = [{**token, "id": new[token["id"]]} for token in full["added_tokens"] if token["id"] in new]
    return out


def tokenizer_settings(full: dict[str, Any], size: int) -> dict[str, Any]:
    """The ``tokenizer_config.json`` that goes with the smaller one of ``size`` pieces."""
    out = copy.deepcopy(full)
    named = out.get("added_tokens_decoder", {})
    out["added_tokens_decoder"] = {
        str(size - 1) if token["content"] == MASK else number: token for number, token in named.items()
    }
    return out


def _mask_id(full: dict[str, Any]) -> int:
    return next(int(token["id"]) for token in full["added_tokens"] if token["content"] == MASK)
