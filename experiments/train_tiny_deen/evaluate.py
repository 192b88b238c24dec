"""Translation quality, filled masks, and a quick look at cross-attention AER of an exported model.

BLEU and chrF by sacrebleu with signatures; masked-token accuracy by mask share; AER by layer, head and reading.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import torch
from batches import EOS, MASK, PAD
from text import clean, tokenise


def load(folder: Path):  # type: ignore[no-untyped-def]
    from transformers import MarianMTModel, MarianTokenizer

    model = MarianMTModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return model, MarianTokenizer.from_pretrained(folder)


def translate(model, tokenizer, lines: list[str], code: str, size: int = 32) -> list[str]:  # type: ignore[no-untyped-def]
    """Beam 5 in batches of similar length; the answers come in the order of the lines."""
    order = sorted(range(len(lines)), key=lambda i: len(lines[i]))
    out = [""] * len(lines)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        batch = tokenizer([f"{code} {lines[i]}" for i in chosen], return_tensors="pt", padding=True)
        longest = int(batch["input_ids"].shape[1] * 1.6) + 10
        with torch.inference_mode():
            ids = model.generate(**batch, num_beams=5, max_length=longest)
        for i, text in zip(chosen, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            out[i] = text
    return out


def quality(model, tokenizer, data: Path, limit: int) -> dict[str, object]:  # type: ignore[no-untyped-def]
    from sacrebleu.metrics import BLEU, CHRF

    result: dict[str, object] = {}
    for name in ("multi30k-test", "tatoeba-test"):
        sides = {s: (data / f"{name}.{s}").read_text(encoding="utf-8").splitlines() for s in ("de", "en")}
        for source, target in (("de", "en"), ("en", "de")):
            lines, references = sides[source][:limit], sides[target][:limit]
            answers = translate(model, tokenizer, lines, f">>{target}<<")
            bleu, chrf = BLEU(), CHRF()
            b, c = bleu.corpus_score(answers, [references]), chrf.corpus_score(answers, [references])
            result[f"{name} {source}-{target}"] = {
                "bleu": round(b.score, 2),
                "bleu_signature": str(bleu.get_signature()),
                "chrf": round(c.score, 2),
                "chrf_signature": str(chrf.get_signature()),
                "sentences": len(lines),
                "examples": [list(row) for row in zip(lines[:4], answers[:4], references[:4], strict=True)],
            }
            print(name, source, target, b, c, flush=True)
    return result


def word_pieces(tokenizer, words: list[str]) -> tuple[list[int], list[int]]:  # type: ignore[no-untyped-def]
    """Ids of space-separated words, and the word of each id (pieces of a word as the model writes it alone)."""
    ids, owner = [], []
    for number, word in enumerate(words):
        pieces = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word))
        ids += pieces
        owner += [number] * len(pieces)
    return ids, owner


def fill(model, tokenizer, data: Path, limit: int) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """Share of hidden sub-words that the most probable answer gets right, by share of hidden words (seeded)."""
    result: dict[str, object] = {}
    for name in ("multi30k-test", "tatoeba-test"):
        sides = {s: (data / f"{name}.{s}").read_text(encoding="utf-8").splitlines()[:limit] for s in ("de", "en")}
        for source, target in (("de", "en"), ("en", "de")):
            for plan in ("random 0.15", "random 0.5", "random 0.8", "random 1.0", "span 0.5", "suffix 0.5"):
                kind, share = plan.split()
                rng = np.random.default_rng(7)
                right = total = shown_right = shown = words_right = words_all = 0
                rows = []
                for s, t in zip(sides[source], sides[target], strict=True):
                    words = tokenise(clean(t), target).split(" ")
                    ids, owner = word_pieces(tokenizer, words)
                    count = max(1, round(float(share) * len(words)))
                    if kind == "random":
                        hidden = rng.choice(len(words), count, replace=False)
                    elif kind == "span":
                        hidden = np.arange(count) + rng.integers(0, len(words) - count + 1)
                    else:
                        hidden = np.arange(len(words) - count, len(words))
                    masked = np.isin(owner, hidden)
                    rows.append((f">>{target}<< " + tokenise(clean(s), source), ids, owner, masked))
                rows.sort(key=lambda r: len(r[1]))
                for start in range(0, len(rows), 50):
                    part = rows[start : start + 50]
                    batch = tokenizer([r[0] for r in part], return_tensors="pt", padding=True)
                    width = max(len(r[1]) for r in part) + 1
                    inputs = torch.full((len(part), width), PAD)
                    own = torch.full((len(part), 1, width, width), torch.finfo(torch.float32).min)
                    for i, (_, ids, _, masked) in enumerate(part):
                        row = torch.tensor([*ids, EOS])
                        row[: len(ids)][torch.from_numpy(masked)] = MASK
                        inputs[i, : len(row)] = row
                        own[i, :, :, : len(row)] = 0
                    with torch.inference_mode():
                        best = model(**batch, decoder_input_ids=inputs, decoder_attention_mask=own).logits.argmax(-1)
                    for i, (_, ids, owner, masked) in enumerate(part):
                        hits = (best[i, : len(ids)] == torch.tensor(ids)).numpy()
                        right += int(hits[masked].sum())
                        total += int(masked.sum())
                        shown_right += int(hits[~masked].sum())
                        shown += int((~masked).sum())
                        for word in set(np.asarray(owner)[masked].tolist()):
                            words_right += bool(hits[np.asarray(owner) == word].all())
                            words_all += 1
                row_out = {
                    "hidden_tokens_right": round(right / total, 4),
                    "hidden_words_right": round(words_right / words_all, 4),
                    "shown_tokens_right": round(shown_right / max(shown, 1), 4),
                    "hidden_tokens": total,
                }
                result[f"{name} {source}-{target} {plan}"] = row_out
                print(name, source, target, plan, row_out, flush=True)
    return result


LINK = re.compile(r"(\d+)([-p])(\d+)")


def gold_sets(gold: Path, mini: Path, limit: int):  # type: ignore[no-untyped-def]
    """name -> list of (source words, target words, sure links, possible links), all 0-based, source first."""
    sets: dict[str, list[tuple[list[str], list[str], set[tuple[int, int]], set[tuple[int, int]]]]] = {}
    for name, text, links, base in (
        ("deen-rwth de-en", gold / "deen-rwth" / "test.de-en", gold / "deen-rwth" / "deen.talp", 1),
        ("own en-de", mini / "ende" / "sentences.txt", mini / "ende" / "pass-a.talp", 0),
    ):
        rows = []
        pairs = zip(
            text.read_text(encoding="utf-8").splitlines(), links.read_text(encoding="utf-8").splitlines(), strict=True
        )
        for line, link in pairs:
            a, b = ([w for w in side.split(" ") if w] for side in line.split("|||"))
            sure, possible = set(), set()
            for i, kind, j in LINK.findall(link):
                pair = (int(i) - base, int(j) - base)
                possible.add(pair)
                if kind == "-":
                    sure.add(pair)
            rows.append((a, b, sure, possible))
        sets[name] = rows[:limit]
    return sets


def soft_maps(model, tokenizer, source, target, code, mode):  # type: ignore[no-untyped-def]
    """reading -> (layers, heads, target words, source words): sum over source pieces, mean over target pieces."""
    s_ids, s_owner = word_pieces(tokenizer, source)
    t_ids, t_owner = word_pieces(tokenizer, target)
    inputs = torch.tensor([[tokenizer.convert_tokens_to_ids(code), *s_ids, EOS]])
    if mode == "translate":
        decoder, mask = torch.tensor([[PAD, *t_ids]]), None
    else:
        decoder = torch.tensor([[*t_ids, EOS]])
        mask = torch.zeros(1, 1, decoder.shape[1], decoder.shape[1])
    with torch.inference_mode():
        out = model(
            input_ids=inputs, decoder_input_ids=decoder, decoder_attention_mask=mask, output_attentions=True
        ).cross_attentions
    full = torch.cat(out)[..., 1:-1]  # layers, heads, rows, source pieces
    maps = {"awi": full[:, :, 1:], "awo": full[:, :, :-1]} if mode == "translate" else {"row": full[:, :, :-1]}
    by_source = torch.zeros(len(s_owner), len(source))
    by_source[torch.arange(len(s_owner)), torch.tensor(s_owner)] = 1
    by_target = torch.zeros(len(target), len(t_owner))
    by_target[torch.tensor(t_owner), torch.arange(len(t_owner))] = 1
    by_target = by_target / by_target.sum(1, keepdim=True).clamp(min=1)
    return {name: by_target @ m @ by_source for name, m in maps.items()}


def attention(model, tokenizer, gold: Path, mini: Path, mode: str, limit: int) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """AER of each head and head mean by argmax over source words (each direction) and by mutual argmax of both."""
    result: dict[str, object] = {}
    for name, rows in gold_sets(gold, mini, limit).items():
        languages = re.findall(r"(\w\w)-(\w\w)$", name)[0]
        sums: dict[str, np.ndarray] = {}

        def add(key: str, links: np.ndarray, sure, possible, sums=sums):  # type: ignore[no-untyped-def]
            found = set(map(tuple, links.tolist()))
            sums.setdefault(key, np.zeros(4))
            sums[key] += [len(found), len(sure), len(found & sure), len(found & possible)]

        for a, b, sure, possible in rows:
            forward = soft_maps(model, tokenizer, a, b, f">>{languages[1]}<<", mode)
            reverse = soft_maps(model, tokenizer, b, a, f">>{languages[0]}<<", mode)
            for reading in forward:
                f = torch.cat([forward[reading], forward[reading].mean(1, keepdim=True)], 1)  # L, H+1, b, a
                r = torch.cat([reverse[reading], reverse[reading].mean(1, keepdim=True)], 1)  # L, H+1, a, b
                for layer in range(f.shape[0]):
                    for head in range(f.shape[1]):
                        label = f"{reading} layer {layer + 1} head {head + 1 if head + 1 < f.shape[1] else 'mean'}"
                        x, y = f[layer, head], r[layer, head]
                        j = torch.arange(len(b))
                        i = torch.arange(len(a))
                        one = torch.stack([x.argmax(1), j], 1).numpy()
                        two = torch.stack([i, y.argmax(1)], 1).numpy()
                        add(f"{label} forward", one, sure, possible)
                        add(f"{label} reverse", two, sure, possible)
                        both = np.asarray(sorted(set(map(tuple, one.tolist())) & set(map(tuple, two.tolist()))))
                        add(f"{label} intersection", both.reshape(-1, 2), sure, possible)
                        mean = torch.zeros(len(a), len(b), dtype=torch.bool)
                        product = x.t() * y
                        mean[product.argmax(0), j] = True
                        other = torch.zeros_like(mean)
                        other[i, product.argmax(1)] = True
                        add(f"{label} product-mutual", torch.nonzero(mean & other).numpy(), sure, possible)
        table = {k: round(100 * (1 - float((v[2] + v[3]) / (v[0] + v[1]))), 2) for k, v in sums.items()}
        best = dict(sorted(table.items(), key=lambda kv: kv[1])[:12])
        print(name, best, flush=True)
        result[name] = {"best": best, "all": table, "pairs": len(rows)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--mode", choices=["translate", "mask"], required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--gold", type=Path, required=True)
    parser.add_argument("--mini", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1_000_000, help="first so many sentences of each set")
    parser.add_argument("--only", choices=["quality", "attention"])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load(args.model)
    result: dict[str, object] = {}
    if args.only != "attention":
        run = quality if args.mode == "translate" else fill
        result["translation" if args.mode == "translate" else "filled masks"] = run(
            model, tokenizer, args.data, args.limit
        )
    if args.only != "quality":
        result["attention"] = attention(model, tokenizer, args.gold, args.mini, args.mode, args.limit)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
