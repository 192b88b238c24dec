"""Parallel text -> ids of concatenated pairs, the trimmed tokenizer, and the encoder that training starts from.

The text, what is held out and the two writing styles are those of ../train_tiny_deen/prepare.py. Deterministic: the
same input files give the same output files. Sub-words are those of words between spaces, as align-eval reads them.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from sibling import sibling
from vocabulary import UNK, kept_pieces, tokenizer_settings, trimmed

TOKENISED = 0.8  # share of pairs in tokenised style: words that are hidden are words between spaces
CHUNK = 10000


def encode(tokenizer: Any, words: list[str]) -> list[list[int]]:
    """The sub-words of words, each by itself."""
    out: list[list[int]] = []
    for start in range(0, len(words), CHUNK):
        part = [[word] for word in words[start : start + CHUNK]]
        found = tokenizer.encode_batch(part, is_pretokenized=True, add_special_tokens=False)
        out += [encoding.ids for encoding in found]
    return out


def flat(rows: list[np.ndarray]) -> dict[str, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return {"flat": np.concatenate(rows), "offset": offsets}


def encoder_weights(folder: Path, kept: list[int]) -> dict[str, Any]:
    """The encoder's weights with the embeddings of the kept pieces alone, float32."""
    import torch
    from safetensors import safe_open

    out = {}
    with safe_open(folder / "model.safetensors", "pt") as weights:
        for name in weights.keys():  # noqa: SIM118
            if name == "embeddings.word_embeddings.weight":
                table = weights.get_tensor(name)
                out[name] = table[torch.tensor(kept)].clone()
                del table
            elif not name.startswith("pooler"):
                out[name] = weights.get_tensor(name)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parallel", type=Path, required=True, help="folder of the *.de-en.tsv.gz files")
    parser.add_argument("--gold", type=Path, required=True, help="folder of the gold sets (deen-rwth is excluded)")
    parser.add_argument("--mini", type=Path, required=True, help="the project's own corpus (data/mini)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", default="offline:e5-small", help="offline model that training starts from")
    parser.add_argument("--vocabulary", type=int, default=14000, help="largest number of pieces")
    parser.add_argument("--max-pieces", type=int, default=60, help="longest side kept for training, in sub-words")
    parser.add_argument("--held-out", type=int, default=1000, help="pairs of Tatoeba kept for evaluation")
    parser.add_argument("--limit", type=int, default=0, help="pairs of each corpus, for a quick look; 0: all")
    parser.add_argument("--seed", type=int, default=20, help="20 holds out the same pairs as tiny-deen")
    args = parser.parse_args()
    from safetensors.torch import save_file
    from tokenizers import Tokenizer

    from align_eval.models.offline import MODELS, PREFIX

    args.out.mkdir(parents=True, exist_ok=True)
    tiny = sibling("prepare")
    rng = random.Random(args.seed)
    text = tiny.read_training(args.parallel, args.gold, args.mini, args.held_out, rng)
    for name, part in text.held.items():
        for side, language in enumerate(("de", "en")):
            tiny.write_lines(args.out / f"{name}.{language}", [pair[side] for pair in part])
    pairs, corpus, used = [], [], dict.fromkeys(tiny.CORPORA, 0)
    for stem, raw, tok in text.kept:
        if args.limit and used[stem] >= args.limit:
            continue
        used[stem] += 1
        pairs.append(tok if rng.random() < TOKENISED else raw)
        corpus.append(list(tiny.CORPORA).index(stem))
    sentences = [side.split(" ") for pair in pairs for side in pair]
    frequency = Counter(word for sentence in sentences for word in sentence)
    types = list(frequency)
    print(f"{len(pairs)} pairs, {frequency.total()} words, {len(types)} types", flush=True)

    encoder = MODELS.get(args.encoder.removeprefix(PREFIX))
    folder = encoder.folder()
    full = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    counts = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    before = encode(tokenizer, types)
    for word, pieces in zip(types, before, strict=True):
        for piece in pieces:
            counts[piece] += frequency[word]
    kept, minimum = kept_pieces(full, counts, {c for word in types for c in word}, args.vocabulary)
    print(f"{len(kept)} of {int((counts > 0).sum())} pieces stay: used {minimum} times or more", flush=True)
    small = trimmed(full, kept)
    (args.out / "tokenizer.json").write_text(json.dumps(small, ensure_ascii=False), "utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    (args.out / "tokenizer_config.json").write_text(
        json.dumps(tokenizer_settings(settings, len(kept)), ensure_ascii=False, indent=2) + "\n", "utf-8"
    )
    save_file(encoder_weights(folder, kept), args.out / "encoder.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (args.out / "config.json").write_text(json.dumps({**config, "vocab_size": len(kept)}, indent=2) + "\n", "utf-8")

    after = encode(Tokenizer.from_str(json.dumps(small)), types)
    there, same, otherwise = set(kept), 0, 0
    for word, old, new in zip(types, before, after, strict=True):
        equal = [kept[piece] for piece in new] == old
        same += frequency[word] * equal
        otherwise += not equal and there.issuperset(old)
    of_type = dict(zip(types, after, strict=True))
    ids = [np.asarray([p for w in sentence for p in of_type[w]], dtype=np.int16) for sentence in sentences]
    words = [np.repeat(np.arange(len(s), dtype=np.int16), [len(of_type[w]) for w in s]) for s in sentences]
    lengths = [(len(ids[2 * k]), len(ids[2 * k + 1])) for k in range(len(pairs))]
    fits = [k for k, both in enumerate(lengths) if min(both) > 0 and max(both) <= args.max_pieces]
    arrays = {"corpus": np.asarray([corpus[k] for k in fits], dtype=np.int8)}
    for side, language in enumerate(("de", "en")):
        for name, rows in (("ids", ids), ("words", words)):
            for part, values in flat([rows[2 * k + side] for k in fits]).items():
                arrays[f"{language}.{name}.{part}"] = values
    np.savez(args.out / "train.npz", **arrays)
    total = sum(len(row) for row in ids)
    report = {
        "encoder": args.encoder,
        "encoder_revision": encoder.revision,
        "read": text.read,
        "kept": text.counts,
        "pieces": len(kept),
        "smallest_count": minimum,
        "pieces_used_by_full": int((counts > 0).sum()),
        "words_cut_as_by_full": round(same / frequency.total(), 5),
        "types_cut_otherwise_though_all_pieces_stay": otherwise,
        "sub_words": total,
        "sub_words_full": sum(frequency[word] * len(pieces) for word, pieces in zip(types, before, strict=True)),
        "unknown": int(sum((row == UNK).sum() for row in ids)),
        "pairs": len(fits),
        "pairs_by_corpus": {stem: int((arrays["corpus"] == k).sum()) for k, stem in enumerate(tiny.CORPORA)},
        "sub_words_kept": {n: len(v) for n, v in arrays.items() if n.endswith("ids.flat")},
    }
    (args.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
