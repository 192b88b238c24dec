"""Models that were trained to fill masked words of the target from the source.

- **A masked language model over both sentences of a pair**, the masked side the target (TLM; Conneau & Lample 2019,
  arXiv:1901.07291): the rows of masked words over the first sentence are read (``block-ts``). Any model of
  ``AutoModelForMaskedLM`` does; one that was not trained on pairs (mBERT, XLM-R) reads them all the same, which is said
  with its numbers.
- Encoder-decoder models, by ``decoder_mode`` of ``config.json`` (or of ``load_model``). ``masked``: a **conditional
  masked language model** (Ghazvininejad et al. 2019, Mask-Predict, arXiv:1904.09324). The decoder sees the whole target
  at once, some words of it ``<mask>``; nothing is shifted, and row i predicts word i (``own``). ``causal-masked``: a
  decoder that reads from left to right, and was trained with masked words in its input: words are masked, then the
  target is moved right by one; the row that gives out a masked word (``awo``) predicts it.

An encoder-decoder model without that key (BART, mBART, Marian, T5 as published) was trained to restore its *source*, or
to translate; its decoder has never read a mask, and what it would say of a masked word means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from align_eval.corpora import SentencePair
from align_eval.errors import ModelError, UnknownNameError
from align_eval.models.attention import AttentionPass, attention_sites
from align_eval.models.batching import padded
from align_eval.models.encoder import Encoder, PairEncoder
from align_eval.models.pairs import Block, Layout
from align_eval.models.seq2seq import Seq2Seq
from align_eval.models.tokens import readable

if TYPE_CHECKING:
    from align_eval.models.tokens import IdArray


class MaskedEncoder(PairEncoder):
    """BERT, XLM-R and their kin with the trained head that predicts masked words, over concatenated pairs.

    Made by ``load_model(NAME, head="mlm")``, or of an :class:`~align_eval.models.encoder.Encoder` with ``masked_lm``,
    whose weights are shared. The readings are those of :class:`PairEncoder`; ``block-ts`` is the one that fills.
    """

    infill_reading = "block-ts"
    both_sides = True

    def __init__(self, encoder: Encoder) -> None:
        if encoder.masked_lm is None:
            raise ModelError(
                f"{encoder.name} has no trained head that predicts masked words",
                remedy="Choose a masked language model whose config.json names an architecture ...ForMaskedLM, or load "
                "it with head='mlm' if its weights hold one",
            )
        super().__init__(encoder)
        _require_mask(self.name, self.tokenizer, "")
        self.model = encoder.masked_lm


class InfillingSeq2Seq(Seq2Seq):
    """A decoder that reads from left to right and was trained with masks in its input (``causal-masked``)."""

    infill_reading = "awo"

    def __init__(self, name: str, model: Any, tokenizer: Any, **options: Any) -> None:
        super().__init__(name, model, tokenizer, **options)
        _require_mask(name, tokenizer, ", or load it without decoder_mode")

    def forward_variants(self, layouts: Sequence[Layout]) -> Any:
        """As ``forward``; each different source is encoded once."""
        places: dict[bytes, int] = {}
        which = [places.setdefault(layout.inputs[0].tobytes(), len(places)) for layout in layouts]
        given = self.batch([layouts[which.index(place)] for place in range(len(places))])
        encoded = self.model.get_encoder()(**given)
        index = torch.tensor(which, device=self.device)
        encoded["last_hidden_state"] = encoded["last_hidden_state"][index]
        inputs, mask = self.decoder_inputs(layouts)
        return self.model(
            encoder_outputs=encoded, attention_mask=given["attention_mask"][index], decoder_input_ids=inputs,
            decoder_attention_mask=mask, use_cache=False,
        )  # fmt: skip


class MaskedSeq2Seq(InfillingSeq2Seq):
    """A conditional masked language model: a decoder that sees the whole target at once (``masked``).

    The decoder's input is the target's sub-words with what the tokenizer puts around them (``</s>``), not shifted.
    That no causal mask is added on the way is checked when it is made. It does not translate from left to right.
    """

    readings = ("own",)
    infill_reading = "own"
    both_sides = True

    def __init__(self, name: str, model: Any, tokenizer: Any, **options: Any) -> None:
        super().__init__(name, model, tokenizer, **options)
        # The first row of the decoder's own attention over three sub-words must see the last.
        ids = np.full(3, self.tokenizer.mask_token_id, dtype=np.int64)
        layout = Layout(SentencePair("probe", (), ()), (ids, ids), {})
        first = attention_sites(self.model, "decoder-self", self.name)[0]
        ((_, weights),) = AttentionPass(self.model, {1: first}, lambda: self.forward([layout]), self.name)
        if not bool((weights[0, :, 0, 1:] > 0).any()):
            raise ModelError(
                f"the decoder of {self.name} ({self.model.config.model_type}) adds a causal mask to the full one",
                remedy="Choose an architecture whose decoder takes a mask of four dimensions as it is (Marian, BART, "
                "mBART, M2M100), or load it with decoder_mode='causal-masked'",
            )

    def _blocks(
        self, ids: IdArray, labels: IdArray, columns: IdArray, words: IdArray, start: str
    ) -> dict[str, tuple[Block, ...]]:
        rows = np.arange(len(labels), dtype=np.int64)
        given = readable(self.tokenizer, labels, target=True)
        return {"own": (Block("target", rows, words, given, columns, readable(self.tokenizer, ids)),)}

    def _shift(self, labels: IdArray) -> torch.Tensor:
        return torch.from_numpy(labels).to(self.device)

    def decoder_inputs(self, layouts: Sequence[Layout]) -> tuple[torch.Tensor, torch.Tensor]:
        """The decoder's input ids ``(B, T)``, and the full mask ``(B, 1, T, T)`` that is added to its scores.

        Every row sees every sub-word of its target; padding is seen by none.
        """
        labels, there = padded([layout.inputs[1] for layout in layouts], self.pad)
        closed = torch.from_numpy(there == 0).to(self.device)[:, None, None, :]
        full = torch.zeros(closed.shape, dtype=self.dtype, device=self.device)
        full = full.masked_fill(closed, torch.finfo(self.dtype).min)
        return self._shift(labels), full.expand(-1, -1, labels.shape[1], -1).contiguous()


def _require_mask(name: str, tokenizer: Any, otherwise: str) -> None:
    if tokenizer.mask_token_id is None:
        raise ModelError(
            f"the tokenizer of {name} has no mask token, so that no word can be masked",
            remedy=f"Name its mask token in tokenizer_config.json (mask_token){otherwise}",
        )


#: How a decoder was trained to read its target (``decoder_mode``), and the class that reads it so.
DECODER_MODES: dict[str, type[Seq2Seq]] = {
    "causal": Seq2Seq,
    "masked": MaskedSeq2Seq,
    "causal-masked": InfillingSeq2Seq,
}


def seq2seq_kind(config: Any, asked: str | None, name: str) -> type[Seq2Seq]:
    """The class of an encoder-decoder model, by ``decoder_mode``: what is asked for, else that of its configuration."""
    mode = str(asked if asked is not None else getattr(config, "decoder_mode", None) or "causal")
    if mode not in DECODER_MODES:
        raise UnknownNameError(f"decoder_mode of {name}", mode, DECODER_MODES)
    return DECODER_MODES[mode]
