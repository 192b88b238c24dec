"""``offline:tiny-deen-mask``: the project's own conditional masked language model, German-English, both directions.

Of the shape of ``offline:tiny-deen`` with one more decoder layer. The decoder sees the whole target, hidden words of it
as ``<mask>``, and row i predicts word i (Ghazvininejad et al. 2019). Head 1 of decoder layers 2 to 4 was guided by
silver links in training.
"""

from __future__ import annotations

from align_eval.models.provider import MODELS
from align_eval.models.shipped import ShippedModel

TINY_DEEN_MASK = MODELS.register("tiny-deen-mask")(
    ShippedModel(
        name="tiny-deen-mask",
        family="seq2seq",
        architecture="marian",
        layers=4,
        heads=8,
        hidden_size=256,
        max_length=512,
        licence="Apache-2.0",
        origin="trained by the project (experiments/train_tiny_deen)",
        citation="Ghazvininejad et al. 2019, Mask-Predict: Parallel Decoding of Conditional Masked Language Models, "
        "arXiv:1904.09324",
    )
)
