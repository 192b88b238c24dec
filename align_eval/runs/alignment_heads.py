"""Alignment heads as lists that other programs read, chosen on a dev split and scored on the disjoint test split.

Each head has its AER, and its Translation Score (TS): of the target tokens whose word has a gold link, the share whose
greatest weight over the whole context (special tokens and the target before them too) lies on a token of a source word
that it is linked with. AER is blind to what a head gives to the rest of the context; TS is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from align_eval.aligners.heads import mode_name
from align_eval.attribution import make_attribution
from align_eval.attribution.collect import has_words, lay_out_fitting, token_blocks
from align_eval.corpora import Corpus
from align_eval.errors import InputError
from align_eval.files import StrPath
from align_eval.runs.results import write_json
from align_eval.runs.selection import SENTENCES
from align_eval.runs.sweep import Sweep
from align_eval.scoring.score import rounded

HeadFormat = Literal["align-eval", "alignatt", "ctranslate2", "whisper", "marian"]
FORMATS: tuple[str, ...] = get_args(HeadFormat)


def translation_scores(
    testset: Corpus, model: Any, modes: Sequence[str] | None = None, *, attribution: str = "attention",
    token_budget: int | None = None, progress: Callable[[int], None] | None = None,
) -> dict[tuple[int, int, str], NDArray[np.int64]]:  # fmt: skip
    """The counts of the Translation Score of every head: ``(N, 2)`` hits and aligned target tokens of each pair.

    Keys are layer and head, from 1, and alignment mode. Rows are those of target tokens; gold links are sure and
    possible ones. Pairs over the model's window have zeros. Of two columns with the same weight the first counts.

    Source: Translation Score of token alignment heads (2026).
    """
    reader = make_attribution(attribution, model)
    gold, pairs = testset.gold, testset.pairs
    wanted = [r for r in reader.readings if modes is None or mode_name(r) in modes]
    layouts = [one if one is not None and has_words(one) else None for one in lay_out_fitting(reader, pairs)]
    out: dict[tuple[int, int, str], NDArray[np.int64]] = {}
    for members, layer, reading, weights, rows, columns in token_blocks(reader, layouts, wanted, token_budget):
        cells = torch.zeros((len(members), int(rows.max()) + 2, int(columns.max()) + 2), dtype=torch.bool, device="cpu")
        for b, k in enumerate(members):
            part = slice(int(gold.offsets[k]), int(gold.offsets[k + 1]))
            source, target = torch.from_numpy(gold.source[part]).long(), torch.from_numpy(gold.target[part]).long()
            inside = (target < cells.shape[1] - 1) & (source < cells.shape[2] - 1)
            cells[b, target[inside], source[inside]] = True
        cells = cells.to(weights.device)
        number = torch.arange(len(members), device=weights.device)[:, None]
        aligned = (cells.any(dim=2)[number, rows.clamp(min=0)] & (rows >= 0)).sum(dim=1)
        best = columns[number[:, None], weights.argmax(dim=3)]  # (B, H, R): the word of the greatest column
        hit = cells[number[:, None], rows.clamp(min=0)[:, None], best.clamp(min=0)] & (best >= 0) & (rows >= 0)[:, None]
        hits = hit.sum(dim=2).T.cpu().numpy()
        for head, own in enumerate(hits, 1):
            counts = out.setdefault((layer, head, mode_name(reading)), np.zeros((len(pairs), 2), dtype=np.int64))
            counts[list(members), 0], counts[list(members), 1] = own, aligned.cpu().numpy()
        if progress and layer == reader.layers and reading == wanted[-1]:
            progress(len(members))
    return out


def head_rows(
    found: Sweep, scores: dict[tuple[int, int, str], NDArray[np.int64]], parts: tuple[SENTENCES, SENTENCES],
    count: int, **options: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """The ``count`` single heads with the lowest AER on the dev split, best first, with their scores on the test split.

    Keys: ``layer``, ``head`` (from 1), ``mode``, ``aer_dev``; of the test split ``aer``, ``precision``, ``recall`` in
    percent, ``ci`` (the 95 % interval of AER) and ``ts`` in percent. ``options``: of :meth:`Sweep.score`.
    """
    single = [k for k, view in enumerate(found.views) if isinstance(view.head, int) and isinstance(view.layer, int)]
    if not single:
        raise InputError(f"{found.attribution} has no single heads to list", remedy="Leave out --export")
    dev = found.aer(parts[0])
    rows = []
    for k in sorted(single, key=lambda k: (dev[k], k))[:count]:
        view = found.views[k]
        score = found.score(k, parts[1], **options)
        hits, tokens = scores[view.layer, view.head, mode_name(view.reading)][parts[1]].sum(axis=0)  # type: ignore[index]
        rows.append({
            "layer": view.layer, "head": view.head, "mode": mode_name(view.reading), "aer_dev": round(float(dev[k]), 2),
            **{name: rounded(getattr(score, name)) for name in ("aer", "precision", "recall")},
            "ci": [rounded(x) for x in score.ci["aer"]] if score.ci else None,
            "ts": round(100 * int(hits) / max(int(tokens), 1), 2),
        })  # fmt: skip
    return rows


def write_heads(
    path: StrPath, format: HeadFormat, found: Sweep, rows: list[dict[str, Any]], parts: tuple[SENTENCES, SENTENCES],
    seed: int,
) -> None:  # fmt: skip
    """Write a list of heads.

    ======================  =============================================================================
    ``align-eval``          all that is known: how and on what they were chosen, scores; numbers from 1
    ``alignatt``            ``[{"layer", "head", "ts"}]``, from 0, TS as a fraction, highest first
    ``ctranslate2``         ``{"alignment_heads": [[layer, head], ...]}``, from 0
    ``whisper``             the same, as in ``generation_config.json``
    ``marian``              ``transformer-guided-alignment-layer``, from 1: Marian reads head 1 of that layer
    ======================  =============================================================================

    Raises:
        InputError: for ``marian``, the best head is not the first of its layer.
    """
    if format == "marian":
        best = rows[0]
        if best["head"] != 1:
            raise InputError(
                f"the best head is L{best['layer']}H{best['head']}, and Marian reads head 1 of a layer alone",
                remedy="Choose another --export-format",
            )
        write_json(path, {"transformer-guided-alignment-layer": str(best["layer"])})
    elif format == "alignatt":
        listed = [{"layer": row["layer"] - 1, "head": row["head"] - 1, "ts": row["ts"] / 100} for row in rows]
        write_json(path, sorted(listed, key=lambda row: -row["ts"]))
    elif format in ("ctranslate2", "whisper"):
        heads = dict.fromkeys((row["layer"] - 1, row["head"] - 1) for row in rows)
        write_json(path, {"alignment_heads": [list(pair) for pair in heads]})
    else:
        testset = found.testset
        write_json(path, {
            "model": found.model, **found.description, "attribution": found.attribution, "method": found.method,
            "testset": testset.name, "sha256": testset.checksum, "languages": testset.direction,
            "chosen": "lowest AER on the dev split", "dev": len(parts[0]), "test": len(parts[1]), "seed": seed,
            "base": 1, "heads": rows,
        })  # fmt: skip
