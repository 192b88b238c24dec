"""A checkpoint -> a folder that `MarianMTModel.from_pretrained` and `MarianTokenizer.from_pretrained` load unchanged.

Weights are stored as float16 safetensors. The exported logits are compared with those of the training module, and the
folder is loaded by align-eval as its users will. `config.json` has two keys of this project: `decoder_mode` ("masked":
a conditional masked language model, see `align_eval.models.masked`) and `guided_attention` (layer and head that
were guided, from 1, and their reading). `SHA256SUMS`, written last, lists every file that a load reads.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from batches import EOS, MASK, PAD, TO_EN
from model import Shape, Transformer, to_marian

from align_eval.models.store import SUMS, read_sums, write_sums


def configuration(shape: Shape):  # type: ignore[no-untyped-def]
    from transformers import MarianConfig

    return MarianConfig(
        vocab_size=shape.vocabulary,
        decoder_vocab_size=shape.vocabulary,
        d_model=shape.width,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.inner,
        decoder_ffn_dim=shape.inner,
        activation_function="relu",
        scale_embedding=True,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
        max_position_embeddings=shape.positions,
        dropout=0.1,
        attention_dropout=0.0,
        activation_dropout=0.0,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=None,
        decoder_start_token_id=PAD,
        forced_eos_token_id=EOS,
        num_beams=5,
        max_length=256,
    )


def convert(checkpoint: Path):  # type: ignore[no-untyped-def]
    """The `MarianMTModel` of a checkpoint, float32, and the training module it must equal."""
    from transformers import MarianMTModel

    saved = torch.load(checkpoint, weights_only=True)
    shape = Shape(**saved["shape"])
    module = Transformer(shape)
    module.load_state_dict(saved["model"])
    config = configuration(shape)
    for name in ("num_beams", "max_length", "forced_eos_token_id"):
        if hasattr(config, name):
            delattr(config, name)
    model = MarianMTModel(config)
    missing, unexpected = model.load_state_dict(to_marian(module.state_dict(), shape), strict=False)
    allowed = {"lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"}
    left = [n for n in missing if n not in allowed and "embed_positions" not in n]
    if left or unexpected:
        raise SystemExit(f"names that do not match: missing {left}, unexpected {unexpected}")
    model.tie_weights()
    return model.eval(), module.eval()


def largest_difference(model, module: Transformer, mode: str) -> float:  # type: ignore[no-untyped-def]
    """Largest difference of a logit over a padded batch, in the decoder mode that the model was trained for."""
    torch.manual_seed(0)
    source = torch.randint(6, module.shape.vocabulary, (3, 11))
    source[:, 0], source[:, -1] = TO_EN, EOS
    source[1, 7], source[1, 8:] = EOS, PAD
    target = torch.randint(6, module.shape.vocabulary, (3, 9))
    low = torch.finfo(torch.float32).min
    keys = torch.where(source == PAD, low, 0.0)[:, None, None, :]
    if mode == "translate":
        own = torch.full((9, 9), low).triu(1)[None, None]
        passed = None
    else:
        own = torch.zeros(3, 1, 9, 9)
        passed = own
    with torch.no_grad():
        ours = module(source, keys, target, own)[0] @ module.shared.weight.t()
        theirs = model(
            input_ids=source,
            attention_mask=(source != PAD).long(),
            decoder_input_ids=target,
            decoder_attention_mask=passed,
        ).logits
    return float((ours - theirs).abs().max())


def check(folder: Path) -> str:
    """Load a folder by align-eval and read one pair; returns what the model is.

    Raises:
        AlignEvalError: it does not load, or its rows are no distributions.
    """
    from align_eval import SentencePair, attention_maps, infill, load_model

    model = load_model(str(folder), target_language="en")
    pair = SentencePair("1", tuple("Das ist ein Haus .".split()), tuple("This is a house .".split()))  # noqa: SIM905
    attention_maps(model, [pair])
    if model.infill_reading:
        (result,) = infill(model, [pair], [[(3,)]])
        said = ", ".join(f"{text} {p:.2f}" for text, p in result.variants[0].filled[0].top)
        return f"{model!r}, 'This is a <mask> .': {said}"
    return repr(model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--mode", choices=["translate", "mask"], required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    from transformers import GenerationConfig, MarianMTModel, MarianTokenizer

    model, module = convert(args.checkpoint)
    difference = largest_difference(model, module, args.mode)
    if difference > 1e-3:
        raise SystemExit(f"logits differ by {difference}")
    args.out.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        num_beams=5,
        max_length=256,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
        forced_eos_token_id=EOS,
        bad_words_ids=[[PAD], [MASK]],
    )
    model.config.guided_attention = {
        "layer": module.shape.guided_layer + 1,
        "head": 1,
        "reading": "own" if args.mode == "mask" else "awi",
    }
    if args.mode == "mask":
        model.config.decoder_mode = "masked"
    (args.out / SUMS).unlink(missing_ok=True)
    model.half().save_pretrained(args.out, safe_serialization=True)
    (args.out / "model.safetensors").chmod(0o644)
    for name in ("source.spm", "target.spm"):
        shutil.copyfile(args.data / "joint.model", args.out / name)
    shutil.copyfile(args.data / "vocab.json", args.out / "vocab.json")
    settings: dict[str, object] = {
        "tokenizer_class": "MarianTokenizer",
        "source_lang": "de",
        "target_lang": "en",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "model_max_length": module.shape.positions,
        "separate_vocabs": False,
    }
    if args.mode == "mask":
        settings["mask_token"] = "<mask>"
    (args.out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    loaded = MarianMTModel.from_pretrained(args.out, dtype=torch.float32).eval()
    tokenizer = MarianTokenizer.from_pretrained(args.out)
    half = largest_difference(loaded, module, args.mode)
    ids = tokenizer(">>en<< Das ist ein Haus .", text_target="This is a house .")
    if ids["input_ids"][0] != TO_EN or ids["input_ids"][-1] != EOS or tokenizer.unk_token_id in ids["labels"]:
        raise SystemExit(f"tokenizer: {ids}")
    if args.mode == "mask":
        ids = tokenizer(text_target="This is <mask> <mask> .")["input_ids"]
        if ids.count(MASK) != 2:
            raise SystemExit(f"mask token: {tokenizer.convert_ids_to_tokens(ids)}")
    kind = check(args.out)
    write_sums(args.out)
    size = sum((args.out / name).stat().st_size for name in read_sums(args.out / SUMS))
    print(f"{kind}; logits: float32 {difference:.2e}, stored float16 {half:.2e}; {size / 1e6:.2f} MB in all")


if __name__ == "__main__":
    main()
