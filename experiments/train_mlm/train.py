"""Translation language modelling (Conneau & Lample 2019): hidden words of concatenated pairs, from a trained encoder.

Seeded, resumable, with log and progress line. With --ranks N it starts N single-threaded processes that each step by
themselves and average their weights every --average-every steps (local SGD, Stich 2019). The learning rate falls to
zero over --steps, or over --minutes of running time. The products are in bfloat16 on a processor that has units for it;
weights and moments are float32.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from batches import Corpus, make
from model import MaskedLM, SlicedCrossEntropy
from sibling import sibling
from start import load_encoder, shape_of, start_head

_memory = sibling("memory")
_precision = sibling("precision")
EVERY = 25  # steps between two lines of the log; the first step has one too


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare.py wrote")
    parser.add_argument("--run", type=Path, required=True, help="checkpoints and log go here; resumed if present")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--layers", type=int, default=0, help="the encoder's first so many layers; 0: all")
    parser.add_argument(
        "--frozen", type=int, default=0, help="leave the embeddings and so many first layers as they are"
    )
    parser.add_argument("--precision", choices=_precision.PRECISIONS, default="auto", help="of the products")
    parser.add_argument("--head", choices=["random", "identity", "fitted"], default="fitted", help="see start.py")
    parser.add_argument("--budget", type=int, default=4500, help="positions in a batch of one process")
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--keep", type=float, default=0.05, help="share of chosen words that stay shown")
    parser.add_argument("--replace", type=float, default=0.05, help="share of chosen words shown as others")
    parser.add_argument("--checkpoint-seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ranks", type=int, default=1, help="processes, one core each")
    parser.add_argument("--average-every", type=int, default=16, help="steps between two averages of the weights")
    parser.add_argument("--rank", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--store", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.steps and not args.minutes:
        parser.error("give --steps or --minutes")
    if args.frozen < 0:
        parser.error("--frozen counts layers")
    return args


def start_all(ranks: int) -> None:
    """Run this command once for each rank and wait; if one fails, or this process is ended, the others end too."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *sys.argv, "--store", f"{folder}/store", "--rank"]
        running = [subprocess.Popen([*command, str(rank)]) for rank in range(ranks)]
        try:
            while any(process.poll() is None for process in running):
                if any(process.poll() for process in running):
                    raise SystemExit("a process failed; the last checkpoint is kept")
                time.sleep(0.5)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait()
        if any(process.returncode for process in running):
            raise SystemExit("a process failed; the last checkpoint is kept")


def average(tensors: list[torch.Tensor], ranks: int) -> None:
    """Replace tensors by their means over all processes."""
    every = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(every)
    for t, part in zip(tensors, every.div_(ranks).split([t.numel() for t in tensors]), strict=True):
        t.copy_(part.view_as(t))


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    _memory.keep_freed_memory()
    args.run.mkdir(parents=True, exist_ok=True)
    if args.ranks > 1 and args.rank < 0:
        start_all(args.ranks)
        return
    rank = max(args.rank, 0)
    if args.ranks > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{args.store}", rank=rank, world_size=args.ranks, timeout=timedelta(hours=12)
        )
    torch.manual_seed(args.seed)
    corpus = Corpus(args.data)
    shape = shape_of(args.data, args.layers)
    mask_id = shape.vocabulary - 1
    master = MaskedLM(shape, args.dropout)
    step, epoch, inside, base = 0, 0, 0, 0.0
    latest = args.run / "latest.pt"
    saved = torch.load(latest, weights_only=True) if latest.exists() else None
    if saved is None:
        load_encoder(master, args.data)
        start_head(master, args.head, corpus, args.seed)
    else:
        if saved["shape"] != asdict(shape):
            raise SystemExit(f"{latest} has the shape {saved['shape']}, not {asdict(shape)}: give another --run")
        master.load_state_dict(saved["model"])
    dtype = _precision.product_type(args.precision)
    model = MaskedLM(shape, args.dropout).to(dtype)
    for each in (master, model):
        each.freeze(args.frozen)
    model.load_state_dict(master.state_dict())
    slow, fast = ([p for p in each.parameters() if p.requires_grad] for each in (master, model))
    optimizer = torch.optim.Adam(slow, lr=args.rate, betas=(0.9, 0.98), eps=1e-8, fused=True)
    if saved is not None:
        optimizer.load_state_dict(saved["optimizer"])
        step, epoch, inside, base = saved["step"], saved["epoch"], saved["inside"], saved["elapsed"]
        inside = inside * saved["ranks"] // args.ranks
        del saved
    torch.manual_seed(args.seed * 1000 + step * args.ranks + rank)  # dropout alone draws from it
    model.train()
    log = (args.run / "log.jsonl").open("a") if rank == 0 else None
    if log and step == 0:
        settings = {
            k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items() if k not in ("rank", "store")
        }
        settings["products"] = str(dtype)
        log.write(json.dumps({"settings": settings, "shape": asdict(shape)}) + "\n")
    sums = dict.fromkeys(("loss", "rows", "hidden", "right", "positions", "norm", "steps"), 0.0)
    begun = last_log = last_saved = time.time()

    def save(name: str) -> None:
        elapsed = base + time.time() - begun
        state = {"model": master.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "epoch": epoch}
        state |= {"inside": inside, "elapsed": elapsed, "ranks": args.ranks, "shape": asdict(shape)}
        torch.save(state, args.run / "writing.pt")
        os.replace(args.run / "writing.pt", args.run / name)

    done, progress = False, None
    while not done:
        groups = list(corpus.epoch(args.seed * 100 + epoch, args.budget, rank, args.ranks))
        for number in range(inside, len(groups)):
            if step % args.average_every == 0 or progress is None:
                elapsed = base + time.time() - begun
                progress = torch.tensor([step / args.steps if args.steps else elapsed / (60 * args.minutes)])
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
            rng = np.random.default_rng((args.seed, epoch, number, rank))
            batch = make(corpus, groups[number], rng, dtype, mask_id, args.keep, args.replace)
            states = model(batch.ids, batch.mask, batch.rows)
            total, hits = SlicedCrossEntropy.apply(states, model.words.weight, model.bias, batch.labels, 512)
            (total / len(batch.labels)).backward()
            for p, q in zip(slow, fast, strict=True):
                p.grad = q.grad.float()
                q.grad = None
            norm = torch.nn.utils.clip_grad_norm_(slow, 1.0)
            if not torch.isfinite(norm):
                raise SystemExit(f"step {step}: loss {float(total)}, gradient {float(norm)}; lower --rate")
            optimizer.step()
            step += 1
            inside = number + 1
            together = step % args.average_every == 0
            if args.ranks > 1 and together:
                average([p.data for p in slow], args.ranks)
            found = (total.detach(), len(batch.labels), batch.hidden.sum(), hits[batch.hidden].sum(), batch.ids.numel())
            for name, value in zip(sums, (*found, norm, 1), strict=True):
                sums[name] += float(value)
            if log and (step == 1 or step % EVERY == 0):
                now = time.time()
                row = {
                    "step": step,
                    "epoch": round(epoch + number / len(groups), 3),
                    "minutes": round((base + now - begun) / 60, 2),
                    "rate": round(rate, 7),
                    "loss": round(sums["loss"] / sums["rows"], 4),
                    "accuracy": round(sums["right"] / sums["hidden"], 4),
                    "norm": round(sums["norm"] / sums["steps"], 3),
                    "positions_per_second": round(sums["positions"] * args.ranks / (now - last_log)),
                }
                log.write(json.dumps(row) + "\n")
                log.flush()
                bar = "#" * round(30 * float(progress))
                sys.stderr.write(
                    f"\r[{bar:<30}] {row['minutes']:7.1f} min  step {step}  loss {row['loss']:.3f}  "
                    f"hidden sub-words right {100 * row['accuracy']:.1f} %  {row['positions_per_second']} positions/s "
                )
                sys.stderr.flush()
                sums, last_log = dict.fromkeys(sums, 0.0), now
            if rank == 0 and (together or args.ranks == 1) and time.time() - last_saved > args.checkpoint_seconds:
                save("latest.pt")
                last_saved = time.time()
        else:
            epoch, inside = epoch + 1, 0
    if rank == 0:
        save("latest.pt")
        save("final.pt")
        sys.stderr.write("\ndone\n")
    if args.ranks > 1:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
