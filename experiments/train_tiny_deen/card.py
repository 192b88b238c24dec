"""Write the card (README.md) of a shipped model out of what training and evaluation left.

    python card.py --mode translate --log work/translate/log.jsonl work/translate2/log.jsonl \
        --report $D/report.json --evaluation translate.json --sweeps ../../results/sweep-tiny-deen \
        --out ../../data/tiny-deen/README.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

TITLES = {
    "translate": "tiny-deen: German-English translation, both directions",
    "mask": "tiny-deen-mask: a conditional masked language model for German and English translations",
}
WHAT = {
    "translate": """
It translates left to right; the source begins with `>>de<<` or `>>en<<`, the language wanted. It is made to be looked
into (its attention, its links), not to be used as a translator.""",
    "mask": """
The decoder reads the whole target with a full 4-D mask, hidden sub-words as `<mask>`, without a shift: row i predicts
sub-word i (Ghazvininejad et al. 2019). The source begins with the language of the target, `>>de<<` or `>>en<<`.""",
}
CORPORA = {
    "tatoeba-2018": "Tatoeba sentences (CC BY 2.0 FR)",
    "multi30k-train": "Multi30k, training part (no licence stated)",
    "comtrans-europarl": "Europarl (no licence stated)",
    "wmt-sample-opennmt": "a sample of WMT (no licence stated)",
}


def settings_of(log: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last settings that a log tells of, and its last row of numbers."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [row["settings"] for row in rows if "settings" in row][-1], [row for row in rows if "step" in row][-1]


def earlier_stages(card: Path, first: int) -> list[str]:
    """The rows of the stages before number `first`, out of a card that tells of them."""
    if first == 1:
        return []
    lines = card.read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("| stage |")) + 2
    return lines[begin : begin + first - 1]


def stages(logs: list[Path], modes: dict[str, str], before: list[str]) -> list[str]:
    """One row for each run of the training: what it began with, its schedule, and its last loss.

    Args:
        before: rows of the stages that came before the first log.
    """
    lines = [
        "| stage | objective | start | minutes | epochs | passes over texts | rate | guided head (weight) | loss |",
        "|---:|---|---|---:|---:|---|---:|---|---:|",
        *before,
    ]
    first = len(before) + 1
    number = {log.stem if log.stem != "log" else log.parent.name: i for i, log in enumerate(logs, start=first)}
    for i, log in enumerate(logs, start=first):
        settings, last = settings_of(log)
        init = settings.get("init")
        known = number.get(Path(init).parent.name, len(before)) if init else 0  # an exported folder: what it says
        begin = f"stage {known}" if known else "random weights"
        shares = settings.get("shares", (1.0, 2.0, 0.35, 0.2))
        top, below = settings.get("guided_layer", 2), settings.get("guided_below", 0)
        head = f"layer{f's {top - below} to' if below else ''} {top}, head 1 ({settings['guided']:g})"
        lines.append(
            f"| {i} | {modes[settings['mode']]} | {begin} | {last['minutes']:.0f} | {last['epoch']:.2f} | "
            f"{', '.join(f'{share:g}' for share in shares)} | {settings['rate']:g} | {head} | {last['loss']:.2f} |"
        )
    return [
        *lines,
        "",
        "An epoch passes over the four texts, in the order of the table above, as often as stated. Rate: the highest.",
        "Loss: nats a sub-word over the last 25 steps. The guided head learned links of eflomal (Garg et al. 2019).",
    ]


def quality(found: dict[str, Any]) -> list[str]:
    lines = ["| text | direction | BLEU | chrF | sentences |", "|---|---|---:|---:|---:|"]
    signatures = set()
    for name, row in found.items():
        text, direction = name.rsplit(" ", 1)
        lines.append(f"| {text} | {direction} | {row['bleu']:.1f} | {row['chrf']:.1f} | {row['sentences']} |")
        signatures |= {f"BLEU `{row['bleu_signature']}`", f"chrF `{row['chrf_signature']}`"}
    return [*lines, "", "Beam 5. " + ", ".join(sorted(signatures)) + "."]


def fills(found: dict[str, Any]) -> list[str]:
    lines = [
        "| text | direction | hidden words | hidden sub-words right | hidden words right |",
        "|---|---|---|---:|---:|",
    ]
    for name, row in found.items():
        text, direction, kind, share = name.split(" ")
        lines.append(
            f"| {text} | {direction} | {kind}, {float(share):.0%} | {row['hidden_tokens_right']:.1%} | "
            f"{row['hidden_words_right']:.1%} |"
        )
    return [
        *lines,
        "",
        "Right: the most probable sub-word at a mask is the hidden one; a mask for each sub-word.",
    ]


def aer(folder: Path) -> list[str]:
    """The best views of each sweep of a results folder."""
    lines = ["| test set | layer | head | reading | AER |", "|---|---:|---|---|---:|"]
    cells = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))["cells"]
    for name, cell in cells.items():
        for row in sorted(cell["views"], key=lambda r: r["aer"])[:3]:
            lines.append(f"| {name} | {row['layer']} | {row['head']} | {row['reading']} | {row['aer']:.1f} |")
    return [*lines, "", "The three best views of each whole set (method `reverse`), so not held out; all views: "
            f"`results/{folder.name}`."]  # fmt: skip


def beside(signals: Path) -> list[str]:
    """The best signal and the aligners of a `signals` experiment, scored on the sentences that chose nothing."""
    cells = json.loads((signals / "signals.json").read_text(encoding="utf-8"))["cells"]
    sets = list(dict.fromkeys(key.partition("/")[0] for key in cells))
    rows: dict[str, dict[str, float]] = {}
    for key, cell in cells.items():
        if "score" in cell:
            testset, _, name = key.partition("/")
            rows.setdefault(name, {})[testset] = cell["score"]["aer"]
    read = {key.partition("/")[2] for key, cell in cells.items() if "view" in cell}
    best = min((name for name in read if sets[0] in rows.get(name, {})), key=lambda name: rows[name][sets[0]])
    shown = [best, *(name for name in rows if name not in read)]
    lines = ["| links | " + " | ".join(sets) + " |", "|---|" + "---:|" * len(sets)]
    for name in shown:
        numbers = " | ".join(f"{rows[name][s]:.1f}" if s in rows[name] else "-" for s in sets)
        lines.append(f"| {'tiny-deen, ' if name in read else ''}{name} | {numbers} |")
    return [
        *lines,
        "",
        "AER on the four fifths of the sentences that the view of tiny-deen was not chosen on; `argmax`, `itermax`: of",
        f"`offline:e5-small`, `+parallel` is trained on the parallel text too: `results/{signals.name}`.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["translate", "mask"], required=True)
    parser.add_argument("--log", type=Path, required=True, nargs="+", help="log.jsonl of each stage, in their order")
    parser.add_argument(
        "--stage", type=int, default=1, help="of the first log; rows of earlier ones are kept from the card"
    )
    parser.add_argument("--curve", default=[], nargs="*", help="pictures of the training (plot.py), from the card on")
    parser.add_argument("--report", type=Path, required=True, help="of prepare.py")
    parser.add_argument("--evaluation", type=Path, required=True, help="of evaluate.py")
    parser.add_argument("--sweeps", type=Path, required=True, help="results folder of a sweep experiment")
    parser.add_argument("--beside", type=Path, help="results folder of a signals experiment: what stands beside it")
    parser.add_argument("--note", default="", help="a sentence about this training")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    report = json.loads(args.report.read_text(encoding="utf-8"))
    found = json.loads(args.evaluation.read_text(encoding="utf-8"))
    lines = [f"# {TITLES[args.mode]}", ""]
    name = args.out.parent.name
    config = json.loads((args.out.parent / "config.json").read_text(encoding="utf-8"))
    stored = (args.out.parent / "model.safetensors").stat().st_size / 2e6
    lines += [
        f"Marian: {config['encoder_layers']} encoder and {config['decoder_layers']} decoder layers, 8 heads, width 256,"
        " feed-forward 1024, one table of 8,000 sub-words,",
        f"{stored:.1f} M weights as float16. `MarianMTModel` and `MarianTokenizer` load it as it is; so does "
        f"`offline:{name}`.",
    ]
    lines += [WHAT[args.mode].strip(), "", "## Training", "", "| text | pairs |", "|---|---:|"]
    lines += [f"| {CORPORA[name]} | {count:,} |" for name, count in report["pairs_by_corpus"].items()]
    lines += [
        "",
        "Left out: what stands in deen-rwth, in the project's own corpus, in Multi30k test 2016 and validation, or in",
    ]
    lines += ["the held-out part of Tatoeba.", ""]
    modes = {"translate": "next sub-word", "mask": "hidden sub-words"}
    lines += stages(args.log, modes, earlier_stages(args.out, args.stage))
    lines += [args.note] if args.note else []
    lines += ["How it is made: `experiments/train_tiny_deen`.", ""]
    for curve in args.curve:
        lines += [f"![loss and accuracy over the stages]({curve})", ""]
    if args.mode == "translate":
        lines += ["## Translation", "", *quality(found["translation"]), ""]
    else:
        lines += ["## Hidden words", "", *fills(found["filled masks"]), ""]
    lines += ["## Alignment by cross-attention", "", *aer(args.sweeps), ""]
    lines += [*beside(args.beside), ""] if args.beside else []
    lines += [
        "## Licence",
        "",
        "Apache-2.0 for what the project adds. The training texts have the licences named above; three state none.",
    ]
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
