"""``offline:tiny-deen``: the project's own German-English translation model, both directions, left to right.

A Marian of 4 encoder and 3 decoder layers with 8 heads, 256 wide, one table of 8,000 sub-words. The target language
(``target_language="en"`` or ``"de"``) is the first sub-word of the source. Head 1 of decoder layer 2 was guided by
silver links in training (Garg et al. 2019, arXiv:1909.02074), in the reading ``awi``.

``offline:tiny-deen-mask``: the project's own conditional masked language model, German-English, both directions.

Of the shape of ``offline:tiny-deen`` with one more decoder layer. The decoder sees the whole target, hidden words of it
as ``<mask>``, and row i predicts word i (Ghazvininejad et al. 2019). Head 1 of decoder layers 2 to 4 was guided by
silver links in training.
"""

from __future__ import annotations

from align_eval.models.provider import MODELS, ShippedModel

TINY_DEEN = MODELS.register("tiny-deen")(
    ShippedModel(
        name="tiny-deen",
        family="seq2seq",
        architecture="marian",
        layers=3,
        heads=8,
        hidden_size=256,
        max_length=512,
        licence="Apache-2.0",
        origin="trained by the project (experiments/train_tiny_deen)",
    )
)

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
