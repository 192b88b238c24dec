"""A checkpoint -> a folder that `AutoModelForMaskedLM` and `load_model(FOLDER, head="mlm")` load unchanged.

Weights are stored as float16 safetensors. The exported logits are compared with those of the training module, and the
folder is loaded by align-eval as its users will. `SHA256SUMS`, written last, lists every file that a load reads.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from batches import LOW, PAD
from model import MaskedLM, Shape, to_bert

from align_eval.models.store import SUMS, read_sums, write_sums

TOLERANCE = 1e-3  # of a logit, between the training module and the exported one, both float32

CARD = """\
---
license: mit
language: [de, en]
base_model: intfloat/multilingual-e5-small
---
# A masked language model of German-English pairs

The first {layers} of {every} layers of multilingual-e5-small (MIT; Wang et al. 2024, arXiv:2402.05672; here from 4-bit
weights, `align-eval models`), with a tied head and {vocabulary:,} of its 250,002 pieces, trained on translation
language modelling (Conneau & Lample 2019): words of the second sentence of a concatenated pair are hidden. Nothing
guided its attention. Trained by `experiments/train_mlm` of align-eval: {steps:,} steps, {minutes:.0f} minutes.
"""


def convert(checkpoint: Path, base: dict[str, Any]) -> tuple[Any, MaskedLM, dict[str, Any]]:
    """The `BertForMaskedLM` of a checkpoint, float32, the training module it must equal, and what the checkpoint says.

    Args:
        base: `config.json` of the prepared encoder.
    """
    from transformers import BertConfig, BertForMaskedLM

    saved = torch.load(checkpoint, weights_only=True)
    shape = Shape(**saved["shape"])
    module = MaskedLM(shape)
    module.load_state_dict(saved["model"])
    left_out = ("architectures", "model_type", "tokenizer_class", "torch_dtype", "position_embedding_type")
    settings = {name: value for name, value in base.items() if name not in left_out}
    settings |= {"vocab_size": shape.vocabulary, "num_hidden_layers": shape.layers, "tie_word_embeddings": True}
    model = BertForMaskedLM(BertConfig(**settings))
    missing, unexpected = model.load_state_dict(to_bert(module.state_dict(), shape.layers), strict=False)
    left = [name for name in missing if not name.endswith("position_ids")]
    if left or unexpected:
        raise SystemExit(f"names that do not match: missing {left}, unexpected {unexpected}")
    model.tie_weights()
    return model.eval(), module.eval(), saved


@torch.inference_mode()
def largest_difference(model: Any, module: MaskedLM) -> float:
    """Largest difference of a logit over a padded batch of random ids."""
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(4, module.shape.vocabulary, (3, 17), generator=generator)
    ids[1, 11:], ids[2, 6:] = PAD, PAD
    ids[:, 3] = module.shape.vocabulary - 1
    real = ids != PAD
    mask = torch.where(real, 0.0, LOW)[:, None, None]
    ours = module(ids, mask) @ module.words.weight.T + module.bias
    theirs = model(input_ids=ids, attention_mask=real.long()).logits
    return float((ours - theirs)[real].abs().max())


def check(folder: Path) -> str:
    """Load a folder by align-eval and fill one word; returns what the model is.

    Raises:
        AlignEvalError: it does not load, or cannot fill.
    """
    from align_eval import SentencePair, infill, load_model

    model = load_model(str(folder), head="mlm")
    pair = SentencePair("1", tuple("Das ist ein Haus .".split()), tuple("This is a house .".split()))  # noqa: SIM905
    (result,) = infill(model, [pair], [[(3,)]])
    said = ", ".join(f"{text} {p:.2f}" for text, p in result.variants[0].filled[0].top)
    return f"{model!r}, 'This is a <mask> .': {said}"


def export(checkpoint: Path, data: Path, out: Path) -> str:
    """Write the folder; returns what it is, as a line.

    Raises:
        SystemExit: the exported model is another one than the trained one.
    """
    base = json.loads((data / "config.json").read_text("utf-8"))
    model, module, saved = convert(checkpoint, base)
    difference = largest_difference(model, module)
    if difference > TOLERANCE:
        raise SystemExit(f"logits differ by {difference}")
    out.mkdir(parents=True, exist_ok=True)
    (out / SUMS).unlink(missing_ok=True)
    model.half().save_pretrained(out, safe_serialization=True)
    (out / "model.safetensors").chmod(0o644)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(data / name, out / name)
    (out / "README.md").write_text(
        CARD.format(
            layers=module.shape.layers,
            every=base["num_hidden_layers"],
            vocabulary=module.shape.vocabulary,
            steps=saved["step"],
            minutes=saved["elapsed"] / 60,
        ),
        "utf-8",
    )
    kind = check(out)
    write_sums(out)
    size = sum((out / name).stat().st_size for name in read_sums(out / SUMS))
    return f"{kind}; logits: float32 {difference:.2e}; {size / 1e6:.2f} MB in all"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    print(export(args.checkpoint, args.data, args.out))


if __name__ == "__main__":
    main()
