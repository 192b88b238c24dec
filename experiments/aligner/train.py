"""Train the refiners that the package ships, into data/refiners.

    python experiments/aligner/train.py --gold FOLDER -o data/refiners
    python experiments/aligner/train.py --only cc0 -o data/refiners

``cc0`` learns from the project's own training corpora (mini-*-train); ``free`` also from gold of others under free
licences: Czech (CzEnAli, CC BY-SA 4.0), Swedish (GES, CC BY 4.0) and Japanese (the development part of the Kyoto free
translation task, CC BY-SA 3.0). ``--gold`` names the folder of their files, ``en-cs.czenali.tsv.gz`` and so on. Both
choose epoch and threshold by the same development data: every tenth pair of all these corpora, and XL-WA dev, which
may not be learnt from.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import align_eval as ae
from align_eval.training.data import HELD_OUT
from align_eval.training.refiner import TrainingSettings

FREE = {
    "en-cs.czenali": ("cs", "CC BY-SA 4.0 (as a third-party list says; not verified at its source)"),
    "en-sv.ges": ("sv", "CC BY 4.0"),
    "en-ja.kftt-dev": ("ja", "CC BY-SA 3.0"),
}
OWN = "mini-*-train"
Grouped = tuple[str, ae.Corpus]


def parts(corpus: ae.Corpus) -> tuple[ae.Corpus, ae.Corpus]:
    """A corpus without every tenth pair, and these."""
    held = range(HELD_OUT - 1, len(corpus.pairs), HELD_OUT)
    rest = corpus.part(sorted({*range(len(corpus.pairs))} - {*held}))
    name = f"{corpus.name} (every tenth pair)"
    return replace(rest, whole=None, registered=""), replace(corpus.part(held), name=name, whole=None, registered="")


def own_corpora() -> list[ae.Corpus]:
    """The project's own training corpora."""
    return [
        ae.load_testset(name) for name in ae.testset_names() if name.startswith("mini-") and name.endswith("-train")
    ]


def free_corpora(folder: Path) -> list[ae.Corpus]:
    """Gold of others under free licences."""
    out = []
    for name, (language, licence) in FREE.items():
        made = ae.make_testset(
            folder / f"{name}.tsv.gz", name=name, source_language="en", target_language=language, gold_base="0"
        )
        out.append(replace(made, licence=licence))
    return out


def dev_corpora() -> list[ae.Corpus]:
    """XL-WA dev: to choose by, never to learn from."""
    return [ae.load_testset(n) for n in ae.testset_names() if n.startswith("xl-wa-") and n.endswith("-dev")]


def data_of(name: str, folder: Path | None) -> tuple[list[Grouped], list[Grouped]]:
    """What the refiner ``name`` learns from, and what it is chosen by, each corpus with the name of its group."""
    own = [parts(corpus) for corpus in own_corpora()]
    free = [parts(corpus) for corpus in free_corpora(folder)] if folder else []
    learn = [(OWN, rest) for rest, _ in own]
    dev = [("XL-WA dev", corpus) for corpus in dev_corpora()] + [("own", held) for _, held in own]
    for rest, held in free:
        learn += [(rest.name, rest)] if name == "free" else []
        dev.append((rest.name, held))
    return learn, dev


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--gold", type=Path, help="folder of en-cs.czenali.tsv.gz, en-sv.ges.tsv.gz, en-ja.kftt-dev.tsv.gz"
    )
    parser.add_argument("--only", choices=("free", "cc0"))
    parser.add_argument("--states", type=Path, help="folder in which states of the encoder are kept")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)  # the order of sums, and so the weights, do not depend on the machine's cores
    settings: dict[str, Any] = {"settings": TrainingSettings(), "states": args.states, "said": say}
    for name in [args.only] if args.only else ["free", "cc0"]:
        learn, dev = data_of(name, args.gold)
        say(f"{name}: {sum(len(corpus.pairs) for _, corpus in learn)} sentence pairs to learn from")
        ae.train(learn, args.output / name, dev=dev, **settings)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
