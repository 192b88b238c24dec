"""Silver links for guided alignment: eflomal on the training text, symmetrised, projected on sub-words.

Where `silver_encoder.py` has written links of an encoder for a pair, those are taken. The links name which source word
a target word comes from; `train.py` asks one cross-attention head to look there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import eflomal
import numpy as np
from silver_encoder import read_numbered


def grow_diag(forward: set[tuple[int, int]], reverse: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Koehn's grow-diag, then final-and: links of one direction whose two words are both still free."""
    union, links = forward | reverse, forward & reverse
    rows, columns = {i for i, _ in links}, {j for _, j in links}
    grown = True
    while grown:
        grown = False
        for i, j in sorted(links):
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    new = (i + di, j + dj)
                    if new in union and new not in links and (new[0] not in rows or new[1] not in columns):
                        links.add(new)
                        rows.add(new[0])
                        columns.add(new[1])
                        grown = True
    for i, j in sorted(union - links):
        if i not in rows and j not in columns:
            links.add((i, j))
            rows.add(i)
            columns.add(j)
    return links


def read(line: str) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in (p.split("-") for p in line.split())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare.py wrote")
    args = parser.parse_args()
    forward, reverse = args.data / "forward.links", args.data / "reverse.links"
    if not reverse.exists():
        binary = Path(eflomal.__file__).parent / "bin" / "eflomal"
        from eflomal import Aligner

        aligner = Aligner(model=3, n_samplers=1)
        print("eflomal", binary, flush=True)
        lines = (args.data / "train.tok").read_text(encoding="utf-8").splitlines()
        german, english = zip(*(line.split(" ||| ") for line in lines), strict=True)
        aligner.align(
            list(german), list(english), links_filename_fwd=str(forward), links_filename_rev=str(reverse), quiet=False
        )
    data = np.load(args.data / "train.npz")
    pairs = [
        sorted(grow_diag(read(f), read(r)))
        for f, r in zip(forward.read_text().splitlines(), reverse.read_text().splitlines(), strict=True)
    ]
    by_encoder = read_numbered(args.data / "encoder.links")
    for number, links in by_encoder.items():
        pairs[number] = sorted(links)
    if len(pairs) != len(data["corpus"]):
        raise SystemExit(f"{len(pairs)} link lines for {len(data['corpus'])} pairs")
    offset = np.concatenate([[0], np.cumsum([len(p) for p in pairs])]).astype(np.int64)
    flat = np.asarray([x for p in pairs for x in p], dtype=np.int16).reshape(-1, 2)
    np.savez(args.data / "links.tmp.npz", flat=flat, offset=offset)
    (args.data / "links.tmp.npz").rename(args.data / "links.npz")
    print("links", len(flat), "pairs", len(pairs), "by an encoder", len(by_encoder))


if __name__ == "__main__":
    main()
