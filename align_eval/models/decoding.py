"""How a translation is searched for: beam, greatest length, and where the decoder starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError, ModelError, NonFiniteError

if TYPE_CHECKING:
    import torch

    from align_eval.models.seq2seq import Seq2Seq

LONG_RULES = {
    "raise": "fail",
    "window": "translate it in pieces, cut between words, and join their translations with a space",
    "leave": "leave its translation empty",
}
# A translation has at most FACTOR times as many sub-words as its source, and EXTRA more.
FACTOR, EXTRA = 3, 20


@dataclass(frozen=True)
class Decoding:
    """How translations are searched for.

    Attributes:
        beam: hypotheses kept at each step; 1 is greedy.
        max_length: sub-words of a translation, special ones counted; ``None``: three times those of its source and 20
            more. Never more than the model's window. It holds for each sentence by itself, whatever its batch.
        on_long: what is done with a source sentence that is longer than the model's window, see :data:`LONG_RULES`.
        token_budget: source sub-words in a batch, padding counted, over the beam: 5 beams take a fifth of the
            sentences. It changes speed and memory only.

    Raises:
        InputError: a number below 1 or an unknown rule.
    """

    beam: int = 5
    max_length: int | None = None
    on_long: str = "raise"
    token_budget: int = 2048

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise InputError(f"a beam of {self.beam}", remedy="Give 1 (greedy) or more")
        if self.max_length is not None and self.max_length < 1:
            raise InputError(f"max_length is {self.max_length}", remedy="Give a positive number of sub-words")
        if self.on_long not in LONG_RULES:
            raise InputError(f"on_long={self.on_long!r} is not known", remedy=f"Give one of {', '.join(LONG_RULES)}")


class Limits:
    """Ends each translation at its own greatest length, so that it does not depend on the others of its batch."""

    def __init__(self, limits: Sequence[int], beam: int, ends: Sequence[int], name: str) -> None:
        self.limits = np.repeat(np.asarray(limits), beam)
        self.ends, self.name = ends, name

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        if bool(torch.isnan(scores).any()):
            raise NonFiniteError(
                f"{self.name} gave NaN while translating", remedy="Load it with --dtype float32, or check its weights"
            )
        full = torch.from_numpy(self.limits <= input_ids.shape[1] + 1).to(scores.device)
        if bool(full.any()):
            scores = scores.masked_fill(full[:, None], -torch.inf)
            scores[full, self.ends[0]] = 0.0
        return scores


def decoder_prefix(model: Seq2Seq) -> list[int]:
    """What the decoder is given before the first sub-word: the start symbol, and the target language's code if any.

    M2M100, NLLB and mBART-50: start and code (the forced first sub-word); mBART: the code; Marian and T5: the start.

    Raises:
        InputError: the model needs a language code that is not named.
    """
    from align_eval.corpora import SentencePair

    (layout,) = model.lay_out([SentencePair("1", ("a",), ("a",))])
    inputs, _ = model.decoder_inputs([layout])
    (block,) = layout.blocks["awi"]
    first = int(np.flatnonzero(block.row_words >= 0)[0])
    return [int(token) for token in inputs[0, :first].tolist()]


def search_settings(model: Seq2Seq, decoding: Decoding, prefix: Sequence[int]) -> dict[str, Any]:
    """What is set in the generation configuration that comes with a model; the rest of it stays as its authors set it.

    Early stopping ``never`` becomes ``False``, because it would make a sentence depend on the others of its batch.
    """
    given, config = model.model.generation_config, model.model.config
    own = (given.eos_token_id, getattr(config, "eos_token_id", None), model.tokenizer.eos_token_id)
    ends = next((end for end in (*own, model.tokenizer.sep_token_id) if end is not None), None)
    if ends is None:
        raise ModelError(
            f"{model.name} names no token that ends a sentence",
            remedy="Set eos_token_id in its generation_config.json",
        )
    return {
        "num_beams": decoding.beam,
        "do_sample": False,
        "num_return_sequences": 1,
        "length_penalty": 1.0 if given.length_penalty is None else float(given.length_penalty),
        "early_stopping": given.early_stopping is True,
        "pad_token_id": model.pad,
        "eos_token_id": list(ends) if isinstance(ends, (list, tuple)) else [int(ends)],
        "decoder_start_token_id": int(prefix[0]),
        "max_new_tokens": None,
        "use_cache": True,
        "return_dict_in_generate": False,
    }
