"""Tatoeba pairs that tiny-deen was not trained on, with silver links of offline:e5-small, as a named test set.

    python experiments/tatoeba_silver/make.py --parallel PARALLEL --gold GOLD --out FOLDER
    export ALIGN_EVAL_TESTSETS=FOLDER/testsets.toml      # the set is called tatoeba-silver

The pairs are the first of the test part that `experiments/train_tiny_deen/prepare.py` holds out, with the same seed,
split into words as its training data is. The links are made by a model and not by people: they are silver, and the
title of the set says so. Text and links stay in FOLDER; nothing of them is part of the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "train_tiny_deen"))

from prepare import excluded_keys, held_out_tatoeba, read_pairs
from text import tokenise

NAME = "tatoeba-silver"
REGISTRY = """\
[source.tatoeba]
citation = ["Tatoeba, https://tatoeba.org, as of 2018; CC BY 2.0 (France). Links: {model}, {method}, layer {layer}."]
licence = "CC BY 2.0 (text); links made by a model"
notice = "Silver links, made by {model}: scores against them say how far something agrees with that model."

[testset.{name}]
source = "tatoeba"
title = "Silver: German-English Tatoeba, links by {model}"
source_language = "de"
target_language = "en"
version = "1"
base = 0
sentences = {sentences}
sure = {links}
possible = {links}

[[testset.{name}.files]]
role = "sentences"
path = "tatoeba.de-en.txt"
format = "pipes"
sha256 = "{text_sum}"

[[testset.{name}.files]]
role = "gold"
path = "tatoeba.de-en.talp"
format = "talp"
sha256 = "{link_sum}"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parents[2]
    parser.add_argument("--parallel", type=Path, required=True, help="folder of tatoeba-2018.de-en.tsv.gz")
    parser.add_argument("--gold", type=Path, required=True, help="folder of the gold sets, left out")
    parser.add_argument("--mini", type=Path, default=root / "data" / "mini", help="left out too")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--held-out", type=int, default=1000, help="as prepare.py was called")
    parser.add_argument("--seed", type=int, default=20, help="as prepare.py was called")
    parser.add_argument("--model", default="offline:e5-small")
    parser.add_argument("--method", default="argmax")
    args = parser.parse_args()
    if not 0 < args.pairs <= args.held_out:
        raise SystemExit(f"--pairs must be between 1 and {args.held_out}, the size of the test part")

    from align_eval import SentencePair, align

    excluded = excluded_keys(args.gold, args.mini, args.parallel)
    tatoeba = read_pairs(args.parallel / "tatoeba-2018.de-en.tsv.gz")
    held = held_out_tatoeba(tatoeba, *excluded, 2 * args.held_out, random.Random(args.seed))[: args.pairs]
    words = [(tokenise(de, "de"), tokenise(en, "en")) for de, en in held]
    pairs = [SentencePair(str(k), tuple(de.split(" ")), tuple(en.split(" "))) for k, (de, en) in enumerate(words, 1)]
    links = align(pairs, args.model, args.method)

    args.out.mkdir(parents=True, exist_ok=True)
    text, talp = args.out / "tatoeba.de-en.txt", args.out / "tatoeba.de-en.talp"
    text.write_text("".join(f"{de} ||| {en}\n" for de, en in words), encoding="utf-8")
    talp.write_text("".join(f"{one}\n" for one in links), encoding="utf-8")
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (text, talp)]
    registry = REGISTRY.format(
        name=NAME, model=args.model, method=args.method, layer=links.provenance["layer"], sentences=len(pairs),
        links=sum(len(one) for one in links), text_sum=sums[0], link_sum=sums[1],
    )  # fmt: skip
    (args.out / "testsets.toml").write_text(registry, encoding="utf-8")
    print(f"{len(pairs)} pairs, {sum(len(one) for one in links)} links of {args.model} in {args.out}")


if __name__ == "__main__":
    main()
