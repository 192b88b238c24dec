"""A masked language model over both sentences of a pair, the masked side the target (XLM's TLM).

Translation language modelling (Conneau & Lample 2019, arXiv:1901.07291) hides words of a concatenated pair, so that
they can be read from either sentence. Here words of the second sentence are hidden, and their rows over the first one
are read (``block-ts``). Any model of ``AutoModelForMaskedLM`` does; one that was not trained on pairs (mBERT, XLM-R)
reads them all the same, which is said with its numbers.
"""

from __future__ import annotations

from align_eval.errors import ModelError
from align_eval.models.encoder import Encoder
from align_eval.models.pair_encoder import PairEncoder


class MaskedEncoder(PairEncoder):
    """BERT, XLM-R and their kin with the trained head that predicts hidden words, over concatenated pairs.

    Made by ``load_model(NAME, head="mlm")``, or of an :class:`~align_eval.models.encoder.Encoder` that has the head.
    The readings are those of :class:`PairEncoder`; ``block-ts`` is the one that fills.

    Args:
        encoder: with ``masked_lm``; its weights are shared.

    Raises:
        ModelError: it has no trained head, or its tokenizer no mask token or no form for pairs.
    """

    infill_reading = "block-ts"
    both_sides = True

    def __init__(self, encoder: Encoder) -> None:
        if encoder.masked_lm is None:
            raise ModelError(
                f"{encoder.name} has no trained head that predicts hidden words",
                remedy="Choose a masked language model whose config.json names an architecture ...ForMaskedLM, or load "
                "it with head='mlm' if its weights hold one",
            )
        super().__init__(encoder)
        if self.tokenizer.mask_token_id is None:
            raise ModelError(
                f"the tokenizer of {self.name} has no mask token, so that no word can be hidden",
                remedy="Name its mask token in tokenizer_config.json (mask_token)",
            )
        self.model = encoder.masked_lm

    def __repr__(self) -> str:
        return f"MaskedEncoder({self.name!r}, layers={self.layers}, heads={self.heads}, device={self.device})"
