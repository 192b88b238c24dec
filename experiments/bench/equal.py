"""Whether the fast path gives the links of the slow one: each method against ``simalign`` and ``awesome-align``.

    python experiments/bench/equal.py --out results/bench [--quick]

The reference computes one pair at a time with the functions of the package ``simalign`` (similarity, mutual argmax,
itermax, networkx matching), in float32 and again on vectors in float64 (one sentence at a time, no padding; there match
is the optimum of ``scipy``). Four comparisons for each method, as links that differ (in one of both, not in the other):

- *extraction*: the same float32 vectors through the batched extraction of ``align-eval``;
- *whole path*: ``align_file`` against the package, both in float32, each with its own batches;
- *against float64*, for ``align-eval`` and for the package.

A difference counts as rounding if links of that pair also change when noise below ``NOISE`` is added to its float64
similarities (argmax, itermax), if both matchings have the same sum within ``NOISE`` a link (match), or if a probability
is within 1 % of the threshold (softmax, against ``awesome-align``). Anything else is counted as *unexplained*.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np
import systems
from common import Bar, Table, say
from systems import LAYER, MODEL, SETS, AwesomeAlign, Ours, SimAlign, TextSet

METHODS = ("argmax", "itermax", "match")
# Rounding of a cosine of two float32 vectors of 384 numbers after seven blocks, with room.
NOISE = 5e-6
DRAWS = 20
THRESHOLD = 1e-3
# Pairs for which the package is also asked as a whole, to see that its functions are put together as it does.
CHECKED = 5
COLUMNS = {
    "set": "set", "method": "method", "pairs": "pairs", "links": "links", "reference": "reference",
    "extraction": "extraction", "path": "whole path", "pairs_differ": "pairs with a difference",
    "ours_64": "align-eval, float64", "reference_64": "reference, float64", "unexplained": "unexplained pairs",
}  # fmt: skip

Cells = set[tuple[int, int]]


def to_words(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> Cells:
    """Word links of a matrix of sub-word links: words are linked if any of their sub-words are."""
    rows, columns = np.nonzero(matrix > 0)
    return set(zip(source[rows].tolist(), target[columns].tolist(), strict=True))


def optimum(scores: np.ndarray) -> np.ndarray:
    """A matching with the greatest sum, as a matrix of 0 and 1."""
    from scipy.optimize import linear_sum_assignment

    out = np.zeros_like(scores)
    out[linear_sum_assignment(scores, maximize=True)] = 1
    return out


class Reference:
    """The functions of ``simalign``, and the vectors that they take."""

    def __init__(self, encoder: Any) -> None:
        import copy

        from align_eval.models.vectors import HiddenStates

        self.encoder = encoder
        self.package = SimAlign("argmax", encoder.path).aligner
        self.double = HiddenStates(copy.deepcopy(encoder.model).double())

    def methods(self, match: Callable[[np.ndarray], np.ndarray]) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """From a similarity to links between sub-words, by method."""

        def argmax(scores: np.ndarray) -> np.ndarray:
            forward, backward = self.package.get_alignment_matrix(scores)
            return forward * backward

        return {"argmax": argmax, "itermax": self.package.iter_max, "match": match}

    def vectors(self, pair: Any, sizes: tuple[int, int]) -> list[np.ndarray]:
        """What the package computes its links from: both sentences in one padded batch, float32."""
        both = self.package.embed_loader.get_embed_list([list(pair.source), list(pair.target)]).numpy()
        return [both[side, : sizes[side]] for side in (0, 1)]

    def vectors64(self, ids: np.ndarray) -> np.ndarray:
        """The vectors of one sentence by itself in float64."""
        import torch

        rows = np.concatenate((self.encoder.prefix, ids, self.encoder.suffix))[None, :]
        with torch.inference_mode():
            (state,) = self.double(torch.from_numpy(rows), None, [LAYER])
        return state[0, len(self.encoder.prefix) : state.shape[1] - len(self.encoder.suffix)].numpy()


def extracted(encoder: Any, text: TextSet, vectors: list[np.ndarray]) -> dict[str, list[Cells]]:
    """The links that our aligner extracts if the model gives ``vectors`` (source, target, source, ...)."""
    import torch

    from align_eval.aligners import AlignerSettings, make_aligner
    from align_eval.models.vectors import Vectors

    def given_vectors(ids: Any, layers: Any, *, token_budget: int | None = None) -> Any:
        if len(ids) != len(vectors):
            raise SystemExit(f"{text.name}: {len(ids)} sentences are asked for, vectors of {len(vectors)} are given")
        ends = np.cumsum([0, *map(len, vectors)])
        return Vectors(torch.from_numpy(np.concatenate(vectors))[None], ends[:-1], ends[1:] - ends[:-1])

    given = copy.copy(encoder)
    given.vectors = given_vectors
    found = make_aligner(AlignerSettings(given, METHODS, (LAYER,))).align_all(text.pairs)
    return {system.method: [set(links) for links in rows] for system, rows in found.items()}


def rounding(method: Callable[[np.ndarray], np.ndarray], scores: np.ndarray) -> bool:
    """Whether noise below ``NOISE`` changes the links that a method finds in float64 similarities."""
    base, draw = method(scores) > 0, np.random.default_rng(1)
    return any(
        not np.array_equal(method(scores + draw.uniform(-NOISE, NOISE, scores.shape)) > 0, base) for _ in range(DRAWS)
    )


def best_sum(links: Cells, scores: np.ndarray, words: tuple[np.ndarray, np.ndarray]) -> float:
    """The greatest sum of a matching between sub-words whose links between words are among ``links``."""
    source, target = words
    allowed = np.zeros(scores.shape, dtype=bool)
    for i, j in links:
        allowed |= (source == i)[:, None] & (target == j)[None, :]
    held = np.where(allowed, scores, -1.0)
    return float(held[optimum(held) > 0].sum())


def compare(text: TextSet, encoder: Any, reference: Reference, work: Path) -> list[dict[str, Any]]:
    """Rows of one set for the three methods of ``simalign``."""
    tokens = encoder.tokenize([side for pair in text.pairs for side in (pair.source, pair.target)])
    slow, exact = reference.methods(reference.package.get_max_weight_match), reference.methods(optimum)
    given: list[np.ndarray] = []
    scores64: list[np.ndarray] = []
    theirs: dict[str, list[Cells]] = {method: [] for method in METHODS}
    theirs64: dict[str, list[Cells]] = {method: [] for method in METHODS}
    for k, pair in enumerate(text.pairs):
        words = tokens.words[2 * k], tokens.words[2 * k + 1]
        source, target = reference.vectors(pair, (len(words[0]), len(words[1])))
        given += [source, target]
        scores = reference.package.get_similarity(source, target)
        sides = [reference.vectors64(tokens.ids[position]) for position in (2 * k, 2 * k + 1)]
        scores64.append(reference.package.get_similarity(*sides))
        for method in METHODS:
            theirs[method].append(to_words(slow[method](scores), *words))
            theirs64[method].append(to_words(exact[method](scores64[-1]), *words))
        if k < CHECKED:
            published = reference.package.get_word_aligns(list(pair.source), list(pair.target))["inter"]
            if set(published) != theirs["argmax"][k]:
                raise SystemExit(f"{text.name}: the reference differs from the package itself for pair {pair.id}")
        if k % 50 == 49:
            say(f"  {text.name}: {k + 1} of {len(text.pairs)} pairs")
    alone = extracted(encoder, text, given)
    rows = []
    for method in METHODS:
        output = work / f"{text.name}-{method}.talp"
        Ours(method, encoder)(text, output)
        ours = [set(links) for links in systems.read_links(output)]
        unexplained = 0
        for k in range(len(text.pairs)):
            if ours[k] == theirs[method][k] == theirs64[method][k] == alone[method][k]:
                continue
            words = tokens.words[2 * k], tokens.words[2 * k + 1]
            if method == "match":
                four = (ours[k], theirs[method][k], theirs64[method][k], alone[method][k])
                sums = [best_sum(links, scores64[k], words) for links in four]
                same = max(sums) - min(sums) <= NOISE * min(scores64[k].shape)
            else:
                same = rounding(exact[method], scores64[k])
            if not same:
                unexplained += 1
                say(f"  {text.name} {method}: pair {text.pairs[k].id} differs, and not by rounding")
        rows.append(
            {
                "set": text.name,
                "method": method,
                "pairs": len(text.pairs),
                "links": sum(map(len, ours)),
                "reference": "simalign",
                "extraction": differing(alone[method], theirs[method]),
                "path": differing(ours, theirs[method]),
                "pairs_differ": sum(a != b for a, b in zip(ours, theirs[method], strict=True)),
                "ours_64": differing(ours, theirs64[method]),
                "reference_64": differing(theirs[method], theirs64[method]),
                "unexplained": unexplained,
            }
        )
    return rows


def differing(first: list[Cells], second: list[Cells]) -> int:
    """Links that are in one of both and not in the other."""
    return sum(len(a ^ b) for a, b in zip(first, second, strict=True))


def compare_softmax(text: TextSet, encoder: Any, reference: Reference, work: Path) -> dict[str, Any]:
    """The row of one set for softmax, against awesome-align's own loop."""
    ours_file, theirs_file = work / f"{text.name}-softmax.talp", work / f"{text.name}-awesome.talp"
    Ours("softmax", encoder)(text, ours_file)
    AwesomeAlign(encoder.path, 0)(text, theirs_file)
    ours, theirs = ([set(links) for links in systems.read_links(path)] for path in (ours_file, theirs_file))
    tokens = encoder.tokenize([side for pair in text.pairs for side in (pair.source, pair.target)])
    unexplained = 0
    for k in range(len(text.pairs)):
        if ours[k] == theirs[k]:
            continue
        sides = [reference.vectors64(tokens.ids[position]) for position in (2 * k, 2 * k + 1)]
        dots = sides[0] @ sides[1].T
        rows, columns = (np.exp(dots - dots.max(axis=axis, keepdims=True)) for axis in (1, 0))
        least = np.minimum(rows / rows.sum(axis=1, keepdims=True), columns / columns.sum(axis=0, keepdims=True))
        near = to_words(np.abs(least / THRESHOLD - 1) < 0.01, tokens.words[2 * k], tokens.words[2 * k + 1])
        if not (ours[k] ^ theirs[k]) <= near:
            unexplained += 1
            say(f"  {text.name} softmax: pair {text.pairs[k].id} differs, and not by rounding")
    return {
        "set": text.name,
        "method": "softmax",
        "pairs": len(text.pairs),
        "links": sum(map(len, ours)),
        "reference": "awesome-align",
        "path": differing(ours, theirs),
        "pairs_differ": sum(a != b for a, b in zip(ours, theirs, strict=True)),
        "unexplained": unexplained,
    }


def main() -> None:
    """Compare and write."""
    parser = common.parser(__doc__)
    systems.add_pairs(parser)
    options = common.parse(parser)
    import torch

    torch.set_num_threads(options.threads)
    machine = common.hardware(options.threads)
    say(f"loading {MODEL}")
    encoder = systems.load_encoder()
    reference = Reference(encoder)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as work:
        for name in SETS:
            text = systems.load_set(name, systems.limit(options))
            rows += compare(text, encoder, reference, Path(work))
            if systems.installed("awesome_align"):
                rows.append(compare_softmax(text, encoder, reference, Path(work)))
    exact = sum(r["extraction"] for r in rows if r["method"] in ("argmax", "itermax"))
    bars = [
        Bar("links that differ, argmax and itermax on the same vectors", exact, 0, least=False),
        Bar("pairs that differ and not by rounding", sum(r["unexplained"] for r in rows), 0, least=False),
    ]
    notes = [
        "Links that are in one of both outputs and not in the other. *Extraction*: both extract from the same float32 "
        "vectors. *Whole path*: `align_file` against the package, each with its own float32 batches. The two columns "
        "of float64 compare each of them with vectors computed in float64, one sentence at a time. A pair counts as "
        f"explained if its links also change under noise of {NOISE:g} on its float64 similarities, if all matchings "
        f"have the same sum within {NOISE:g} a link, or if the softmax is within 1 % of its threshold."
    ]
    common.write_part(
        options.out,
        "equal",
        "Links of the fast path against the slow one",
        [Table(COLUMNS, rows)],
        bars,
        settings={"model": MODEL, "layer": LAYER, "noise": NOISE},
        notes=notes,
        machine=machine,
        quick=options.quick,
    )


if __name__ == "__main__":
    sys.exit(main())
