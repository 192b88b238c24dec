"""Train `tiny-deen` (--mode translate) or `tiny-deen-mask` (--mode mask): seeded, resumable, log and progress line.

Several single-threaded processes may train one model (--ranks): gradients are averaged over gloo at each step, or,
with --average-every, each process steps by itself and weights are averaged (local SGD, Stich 2019), which waits less.
The learning rate falls to zero over --steps, or over --minutes of running time (a file `minutes` in the run
folder, read at each checkpoint, changes it under way).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from batches import EOS, IGNORE, SHARES, STRATEGIES, Batch, Corpus, make
from memory import keep_freed_memory
from model import Shape, SlicedCrossEntropy, Transformer, from_marian, grown
from precision import PRECISIONS, product_type


def guided_losses(heads: list[torch.Tensor], batch: Batch, visible: float) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Cross-entropy of wanted and found attention over linked rows (shown rows weigh `visible`), of each head from the
    lowest layer up, and the weight of those rows."""
    assert batch.guide is not None
    guide = batch.guide
    if visible != 1.0:
        guide = guide * torch.where(batch.hidden, 1.0, visible)[:, :, None]
    losses = [-(guide * torch.log_softmax(scores.float(), dim=-1)).sum() for scores in heads]
    return losses, guide.sum().clamp(min=1.0)


def start(init: Path | None, shape: Shape) -> dict[str, torch.Tensor] | None:
    """The weights that a run starts from: of a checkpoint or of an exported folder; layers that it lacks are copies."""
    if init is None:
        return None
    if init.is_dir():
        state, stored = from_marian(init)
    else:
        saved = torch.load(init, weights_only=True)
        state, stored = saved["model"], Shape(**saved["shape"])
    return grown(state, stored.decoder_layers, shape.decoder_layers)


def fractions(text: str) -> tuple[float, ...]:
    """Four numbers out of "1,2,0.35,0.2"."""
    values = tuple(float(part) for part in text.split(","))
    if len(values) != 4:
        raise argparse.ArgumentTypeError(f"{text!r}: give four numbers separated by commas")
    return values


def run_batch(
    model: Transformer, batch: Batch, smoothing: float, guided: float, guided_visible: float = 1.0, rows: float = 1.0
) -> tuple[torch.Tensor, dict[str, float]]:
    states, heads = model(batch.source, batch.source_mask, batch.inputs, batch.target_mask)
    real = batch.labels != IGNORE
    if rows < 1.0:
        real &= torch.rand(real.shape) < rows
    labels, weights = batch.labels[real], batch.weights[real]
    total, plain, hits = SlicedCrossEntropy.apply(states[real], model.shared.weight, labels, weights, smoothing, 1024)
    numbers = {"plain": float(plain.detach()), "weight": float(weights.sum())}
    hidden = batch.hidden[real]
    if hidden.any():
        numbers["hidden"] = float(hidden.sum())
        numbers["hidden_right"] = float(hits[hidden].sum())
    shown = ~hidden & (labels != EOS)
    numbers["shown"] = float(shown.sum())
    numbers["shown_right"] = float(hits[shown].sum())
    loss = total / weights.sum()
    if guided and batch.guide is not None:
        losses, weight = guided_losses(heads, batch, guided_visible)
        loss = loss + guided * torch.stack(losses).sum() / weight
        numbers["guided"] = float(losses[-1].detach())
        numbers["guided_rows"] = float(weight)
    return loss, numbers


def average(tensors: list[torch.Tensor], ranks: int) -> None:
    """Replace tensors by their means over all processes."""
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    for t, part in zip(tensors, flat.div_(ranks).split([t.numel() for t in tensors]), strict=True):
        t.copy_(part.view_as(t))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="checkpoints and log go here; resumed if present")
    parser.add_argument("--mode", choices=["translate", "mask"], required=True)
    parser.add_argument("--init", type=Path, help="start from the weights of this checkpoint or exported folder")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the products")
    parser.add_argument("--decoder-layers", type=int, default=Shape().decoder_layers)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--budget", type=int, default=4500, help="source + target positions in a batch of one process")
    parser.add_argument("--rate", type=float, default=1.0e-3)
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--guided", type=float, default=0.1, help="weight of the guided alignment loss")
    parser.add_argument(
        "--guided-layer", type=int, default=2, help="decoder layer (1-based) whose first head is guided"
    )
    parser.add_argument(
        "--guided-below", type=int, default=0, help="so many layers below it have their first head guided too"
    )
    parser.add_argument("--guided-visible", type=float, default=1.0, help="weight of shown rows in that loss (mask)")
    parser.add_argument("--shares", type=fractions, default=SHARES, help="passes over each corpus in one epoch")
    parser.add_argument("--short", type=float, default=1.0, help="share kept of pairs with a side under 12 sub-words")
    parser.add_argument("--join", type=float, default=0.0, help="passes over those of Tatoeba, two or three in a text")
    parser.add_argument(
        "--plans", type=fractions, default=STRATEGIES, help="shares of random, span, suffix, whole (mask)"
    )
    parser.add_argument(
        "--rows", type=float, default=1.0, help="share of rows, drawn anew each step, that words are predicted at"
    )
    parser.add_argument("--frozen", action="store_true", help="leave the encoder and the embeddings as they are")
    parser.add_argument("--visible", type=float, default=0.3, help="loss weight of visible rows (mask)")
    parser.add_argument("--corrupt", type=float, default=0.1, help="share of visible words replaced (mask)")
    parser.add_argument("--checkpoint-seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--average-every", type=int, default=1, help="1: average gradients; K: weights after K steps")
    args = parser.parse_args()
    if not args.steps and not args.minutes:
        parser.error("give --steps or --minutes")
    if not 1 <= args.guided_layer <= args.decoder_layers:
        parser.error(f"--guided-layer {args.guided_layer}: the decoder has layers 1 to {args.decoder_layers}")
    if not 0 <= args.guided_below < args.guided_layer:
        parser.error(f"--guided-below {args.guided_below}: there are {args.guided_layer - 1} layers below")

    torch.set_num_threads(1)
    keep_freed_memory()
    args.run.mkdir(parents=True, exist_ok=True)
    if args.ranks > 1:
        store = args.run / "store"
        dist.init_process_group(
            "gloo", init_method=f"file://{store}", rank=args.rank, world_size=args.ranks, timeout=timedelta(hours=12)
        )
    torch.manual_seed(args.seed)
    corpus = Corpus(args.data)
    shape = Shape(decoder_layers=args.decoder_layers, guided_layer=args.guided_layer - 1, refined=args.guided_below)
    dtype = product_type(args.precision)
    master = Transformer(shape, args.dropout)
    model = Transformer(shape, args.dropout).to(dtype)
    model.sinusoids = master.sinusoids.to(dtype)
    if args.frozen:
        for module in (master, model):
            module.shared.requires_grad_(False)
            module.encoder.requires_grad_(False)
    slow, fast = ([p for p in module.parameters() if p.requires_grad] for module in (master, model))
    optimizer = torch.optim.Adam(slow, lr=args.rate, betas=(0.9, 0.98), eps=1e-9, fused=True)
    step, epoch, inside, elapsed = 0, 0, 0, 0.0
    latest, first = args.run / "latest.pt", start(args.init, shape)
    if latest.exists():
        saved = torch.load(latest, weights_only=True)
        master.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, epoch, inside, elapsed = saved["step"], saved["epoch"], saved["inside"], saved["elapsed"]
        inside = inside * saved.get("ranks", 1) // args.ranks
    elif first is not None:
        master.load_state_dict(first)
    model.load_state_dict(master.state_dict())
    torch.manual_seed(args.seed * 1000 + step * args.ranks + args.rank)
    model.train()
    minutes = args.minutes
    log = (args.run / "log.jsonl").open("a") if args.rank == 0 else None
    if log and step == 0:
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()} | {"products": str(dtype)}
        log.write(json.dumps({"settings": settings, "shape": asdict(shape)}) + "\n")
    sums: dict[str, float] = {}
    begun, last_log, last_saved = time.time(), time.time(), time.time()
    base = elapsed
    flat_grad = torch.empty(sum(p.numel() for p in fast), dtype=dtype)
    positions = 0
    corpus.load_links()

    def save(name: str) -> None:
        state = {
            "model": master.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "epoch": epoch,
            "inside": inside,
            "elapsed": elapsed,
            "ranks": args.ranks,
            "shape": asdict(shape),
        }
        torch.save(state, args.run / "writing.pt")
        os.replace(args.run / "writing.pt", args.run / name)

    done, begin = False, True
    while not done:
        groups = list(
            corpus.epoch(
                args.mode,
                args.seed * 100 + epoch,
                args.budget,
                args.rank,
                args.ranks,
                args.shares,
                args.short,
                args.join,
            )
        )
        for number in range(inside, len(groups)):
            rng = np.random.default_rng((args.seed, epoch, number, args.rank))
            elapsed = base + time.time() - begun
            if step % args.average_every == 0 or begin:
                progress = torch.tensor([step / args.steps if args.steps else elapsed / (60 * minutes)])
                begin = False
                if args.ranks > 1:
                    dist.broadcast(progress, 0)
            if float(progress) >= 1:
                done = True
                break
            rate = args.rate * min(1.0, (step + 1) / args.warmup) * (1 - float(progress))
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.no_grad():
                torch._foreach_copy_(fast, slow)
            batch = make(
                corpus,
                groups[number],
                args.mode,
                rng,
                dtype,
                args.visible,
                args.corrupt,
                shape.vocabulary,
                args.plans,
            )
            loss, numbers = run_batch(model, batch, args.smoothing, args.guided, args.guided_visible, args.rows)
            loss.backward()
            if args.ranks > 1 and args.average_every == 1:
                torch.cat([p.grad.reshape(-1) for p in fast], out=flat_grad)
                dist.all_reduce(flat_grad)
                flat_grad.div_(args.ranks)
                parts = flat_grad.split([p.numel() for p in fast])
            else:
                parts = [p.grad.reshape(-1) for p in fast]
            for p, g in zip(slow, parts, strict=True):
                p.grad = g.view_as(p).float()
            norm = torch.nn.utils.clip_grad_norm_(slow, 1.0)
            optimizer.step()
            for p in fast:
                p.grad = None
            step += 1
            inside = number + 1
            together = step % args.average_every == 0
            if args.ranks > 1 and args.average_every > 1 and together:
                average([p.data for p in slow], args.ranks)
            positions += batch.source.numel() + batch.inputs.numel()
            for name, value in {**numbers, "norm": float(norm), "steps": 1.0}.items():
                sums[name] = sums.get(name, 0.0) + value
            if step % 25 == 0:
                corpus.load_links()
            if log and step % 25 == 0:
                now = time.time()
                row = {
                    "step": step,
                    "epoch": round(epoch + number / len(groups), 3),
                    "minutes": round(elapsed / 60, 2),
                    "progress": round(float(progress), 4),
                    "rate": round(rate, 7),
                    "loss": round(sums["plain"] / sums["weight"], 4),
                    "shown_accuracy": round(sums["shown_right"] / max(sums["shown"], 1), 4),
                    "norm": round(sums["norm"] / sums["steps"], 3),
                    "positions_per_second": round(positions * args.ranks / (now - last_log)),
                }
                if "hidden" in sums:
                    row["hidden_accuracy"] = round(sums["hidden_right"] / sums["hidden"], 4)
                if "guided" in sums:
                    row["guided"] = round(sums["guided"] / sums["guided_rows"], 4)
                log.write(json.dumps(row) + "\n")
                log.flush()
                bar = "#" * round(30 * float(progress))
                sys.stderr.write(f"\r[{bar:<30}] {row['minutes']:7.1f} min  step {step}  loss {row['loss']:.3f} ")
                sys.stderr.flush()
                sums, positions, last_log = {}, 0, now
            if args.rank == 0 and together and time.time() - last_saved > args.checkpoint_seconds:
                save("latest.pt")
                last_saved = time.time()
                if (args.run / "minutes").exists():
                    minutes = float((args.run / "minutes").read_text())
        else:
            epoch, inside = epoch + 1, 0
    if args.rank == 0:
        save("latest.pt")
        save("final.pt")
        sys.stderr.write("\ndone\n")
    if args.ranks > 1:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
