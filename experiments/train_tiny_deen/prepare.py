"""Parallel text -> sub-word ids in two writing styles, the held-out parts, the joint sentencepiece model.

Deterministic: the same input files give the same output files. See README.md for the rules.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece as spm
from text import clean, detokenise, key, tokenise

CORPORA = {  # file stem -> is the file tokenised
    "tatoeba-2018": False,
    "multi30k-train": False,
    "comtrans-europarl": True,
    "wmt-sample-opennmt": True,
}
SPECIAL = ["</s>", "<unk>", "<pad>", ">>de<<", ">>en<<", "<mask>"]


def read_pairs(path: Path) -> list[tuple[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [(clean(row[0]), clean(row[1])) for row in rows if len(row) == 2 and row[0].strip() and row[1].strip()]


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def excluded_keys(gold: Path, mini: Path, parallel: Path) -> tuple[set[str], set[str]]:
    """Keys of German and of English sentences that training must not see."""
    german: set[str] = set()
    english: set[str] = set()
    for line in (gold / "deen-rwth" / "test.de-en").read_text(encoding="utf-8").splitlines():
        de, _, en = line.partition("|||")
        german.add(key(clean(de)))
        english.add(key(clean(en)))
    for line in (mini / "ende" / "sentences.txt").read_text(encoding="utf-8").splitlines():
        en, _, de = line.partition("|||")
        german.add(key(clean(de)))
        english.add(key(clean(en)))
    for stem in ("multi30k-test_2016_flickr", "multi30k-val"):
        for de, en in read_pairs(parallel / f"{stem}.de-en.tsv.gz"):
            german.add(key(de))
            english.add(key(en))
    return german - {""}, english - {""}


def held_out_tatoeba(
    pairs: list[tuple[str, str]], no_german: set[str], no_english: set[str], count: int, rng: random.Random
) -> list[tuple[str, str]]:
    """Random pairs for evaluation that share no side with each other; the first half tests, the second tunes."""
    usable = [p for p in pairs if key(p[0]) not in no_german and key(p[1]) not in no_english]
    held: list[tuple[str, str]] = []
    seen_de: set[str] = set()
    seen_en: set[str] = set()
    for de, en in rng.sample(usable, len(usable)):
        if len(held) == count:
            break
        if key(de) in seen_de or key(en) in seen_en or not key(de) or not key(en):
            continue
        held.append((de, en))
        seen_de.add(key(de))
        seen_en.add(key(en))
    return held


@dataclass
class Training:
    """Text to train on, and text that is held out.

    Attributes:
        kept: corpus, raw pair (German, English), tokenised pair.
        held: name of a held-out part -> its pairs (German, English), raw.
        read, counts: pairs read and pairs kept of each corpus.
    """

    kept: list[tuple[str, tuple[str, str], tuple[str, str]]]
    held: dict[str, list[tuple[str, str]]]
    read: dict[str, int]
    counts: dict[str, int]


def read_training(parallel: Path, gold: Path, mini: Path, held_out: int, rng: random.Random) -> Training:
    """Read the parallel text by the rules of README.md.

    Args:
        held_out: pairs of Tatoeba kept for tests, and as many for development: random pairs; every training pair that
            shares either side with one of them is dropped.
        rng: draws them.
    """
    no_german, no_english = excluded_keys(gold, mini, parallel)
    corpora = {stem: read_pairs(parallel / f"{stem}.de-en.tsv.gz") for stem in CORPORA}
    drawn = held_out_tatoeba(corpora["tatoeba-2018"], no_german, no_english, 2 * held_out, rng)
    no_german |= {key(de) for de, _ in drawn}
    no_english |= {key(en) for _, en in drawn}
    held = {"tatoeba-test": drawn[:held_out], "tatoeba-dev": drawn[held_out:]}
    for stem, name in (("multi30k-test_2016_flickr", "multi30k-test"), ("multi30k-val", "multi30k-dev")):
        held[name] = read_pairs(parallel / f"{stem}.de-en.tsv.gz")
    found = Training([], held, {stem: len(pairs) for stem, pairs in corpora.items()}, {})
    for stem, pairs in corpora.items():
        known: set[tuple[str, str]] = set()
        for de, en in pairs:
            keys = (key(de), key(en))
            if not all(keys) or keys[0] in no_german or keys[1] in no_english or keys in known:
                continue
            ratio = len(keys[0]) / len(keys[1])
            if len(keys[0]) + len(keys[1]) > 40 and not 0.45 < ratio < 2.6:
                continue
            known.add(keys)
            tok = (tokenise(de, "de"), tokenise(en, "en"))
            raw = (detokenise(de, "de"), detokenise(en, "en")) if CORPORA[stem] else (de, en)
            found.kept.append((stem, raw, tok))
            found.counts[stem] = found.counts.get(stem, 0) + 1
    return found


def pieces_of_words(pieces: list[str], words: list[str]) -> list[int] | None:
    """Word index (of the tokenised sentence) of each piece, None where the characters do not add up."""
    ends = np.cumsum([len(w) for w in words])
    owner: list[int] = []
    position = 0
    for piece in pieces:
        text = piece.replace("▁", "")
        centre = position if text else min(position, int(ends[-1]) - 1)
        owner.append(int(np.searchsorted(ends, centre, side="right")))
        position += len(text)
    return owner if position == ends[-1] and max(owner) < len(words) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parallel", type=Path, required=True, help="folder of the *.de-en.tsv.gz files")
    parser.add_argument("--gold", type=Path, required=True, help="folder of the gold sets (deen-rwth is excluded)")
    parser.add_argument("--mini", type=Path, required=True, help="the project's own corpus (data/mini)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=8000, help="size with the special tokens")
    parser.add_argument("--max-pieces", type=int, default=70, help="longest side kept for training, in sub-words")
    parser.add_argument("--held-out", type=int, default=1000, help="pairs of Tatoeba kept for evaluation")
    parser.add_argument("--seed", type=int, default=20)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(args.seed)

    found = read_training(args.parallel, args.gold, args.mini, args.held_out, rng)
    kept = found.kept
    for name, part in found.held.items():
        write_lines(args.out / f"{name}.de", [p[0] for p in part])
        write_lines(args.out / f"{name}.en", [p[1] for p in part])
    report: dict[str, object] = {"read": found.read, "kept": found.counts}

    lines = [s for _, raw, tok in kept for s in (*raw, *tok)]
    write_lines(args.out / "spm.txt", rng.sample(lines, min(len(lines), 300_000)))
    spm.SentencePieceTrainer.train(
        input=str(args.out / "spm.txt"),
        model_prefix=str(args.out / "joint"),
        vocab_size=args.vocabulary - len(SPECIAL) + 3,  # its own <unk>, <s>, </s> are replaced by ours
        model_type="unigram",
        character_coverage=0.9998,
        normalization_rule_name="nfkc",
        num_threads=2,
        minloglevel=1,
    )
    (args.out / "spm.txt").unlink()
    model = spm.SentencePieceProcessor(model_file=str(args.out / "joint.model"))
    pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
    vocabulary = {p: i for i, p in enumerate(SPECIAL + [p for p in pieces if p not in ("<unk>", "<s>", "</s>")])}
    (args.out / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0), encoding="utf-8")

    unk = vocabulary["<unk>"]
    arrays: dict[str, list[np.ndarray]] = {}
    tokenised_lines: list[str] = []
    corpus_of: list[int] = []
    kept_rows = 0
    for stem, raw, tok in kept:
        row: dict[str, list[int]] = {}
        for style, pair in (("raw", raw), ("tok", tok)):
            for language, text, tokens in zip(("de", "en"), pair, tok, strict=True):
                p = model.encode(text, out_type=str)
                owner = pieces_of_words(p, tokens.split(" "))
                row[f"{style}.{language}.ids"] = [vocabulary.get(x, unk) for x in p]
                row[f"{style}.{language}.word"] = owner if owner is not None else [-1] * len(p)
        if max(len(v) for v in row.values()) > args.max_pieces:
            continue
        for name, values in row.items():
            arrays.setdefault(name, []).append(np.asarray(values, dtype=np.int16))
        tokenised_lines.append(f"{tok[0].lower()} ||| {tok[1].lower()}")
        corpus_of.append(list(CORPORA).index(stem))
        kept_rows += 1
    out: dict[str, np.ndarray] = {"corpus": np.asarray(corpus_of, dtype=np.int8)}
    for name, rows in arrays.items():
        out[f"{name}.flat"] = np.concatenate(rows)
        out[f"{name}.offset"] = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
    np.savez(args.out / "train.npz", **out)
    write_lines(args.out / "train.tok", tokenised_lines)
    report["pairs"] = kept_rows
    report["pairs_by_corpus"] = {s: int((out["corpus"] == i).sum()) for i, s in enumerate(CORPORA)}
    report["sub_words"] = {n: len(v) for n, v in out.items() if n.endswith("ids.flat")}
    report["unaligned_characters"] = {n: int((v == -1).sum()) for n, v in out.items() if n.endswith("word.flat")}
    report["unknown"] = {n: int((v == unk).sum()) for n, v in out.items() if n.endswith("ids.flat")}
    (args.out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
