"""Run a model on sentence pairs unmasked and with target words masked; keep attention rows and predictions.

Masking is by word: all tokens of a masked word become the mask token, one by one, so that columns, rows and visible
tokens are the same in all variants of a pair.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from align_eval.attribution.collect import OVERHEAD
from align_eval.attribution.matrix import ScoreMatrix, View
from align_eval.attribution.predictions import with_head
from align_eval.errors import InputError, ModelError
from align_eval.infilling.fill import fill_words, logits_at, logits_of_pass, predictions
from align_eval.infilling.measures import Filled, InfillResult, Variant, WordRows
from align_eval.infilling.word_rows import RowKeeper
from align_eval.models.attention import AttentionPass
from align_eval.models.batching import LEAST_BUDGET, buckets, budget_of, in_halves
from align_eval.models.pairs import MASK_LABEL, Layout, PairModel, mask_tokens
from align_eval.models.tokens import IdArray

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

TOP = 5
FILLERS = (
    "Use offline:tiny-deen-mask (German-English), a conditional masked language model (decoder_mode in config.json), "
    "or a masked language model with its head (head='mlm')"
)
Mask = tuple[int, ...]
# One run of a pair: number of the pair, of its mask (-1: unmasked), its rows, its predictions.
Run = tuple[int, int, WordRows, tuple[Filled, ...]]


def require_infiller(model: Any) -> PairModel:
    """The model in the form that fills masked words: one that :func:`align_eval.models.load_model` gave.

    Raises:
        ModelError: it has no mask token or was not trained to fill; the remedy says what can be done instead.
        InputError: it is no model.
    """
    reader = with_head(model)
    if isinstance(reader, PairModel) and reader.infill_reading:
        return reader
    family = getattr(reader, "family", None)
    if family == "encoder":
        why = "is an encoder whose weights have no trained head that predicts masked words"
        instead = "attention_maps and similarity take this one"
    elif family == "decoder":
        why = "is a decoder-only model: it reads from left to right and was never trained to fill masked words"
        instead = "attention_maps gives its attention to a given target"
    elif family == "seq2seq":
        why = "cannot fill masked words of the target: its tokenizer has no mask token"
        if getattr(reader.tokenizer, "mask_token_id", None) is not None:
            why = (
                "cannot fill masked words of the target: it was trained to translate, or to restore masked text of "
                "its source, and its decoder has never read a mask"
            )
        instead = (
            "a decoder that was trained with masks in its input loads with decoder_mode='masked' or 'causal-masked'; "
            "attention_maps gives the cross-attention to a given target"
        )
    else:
        raise InputError(f"{type(model).__name__} is no model", remedy="Load one with align_eval.load_model")
    raise ModelError(f"{reader.name} {why}", remedy=f"{FILLERS}; {instead}")


def default_head(model: Any) -> tuple[View, str]:
    """The head that is taken unless another is named, by a rule that needs no gold; and the rule, one phrase.

    - A model whose ``config.json`` names the head that was guided in training (``guided_attention``): that one.
    - Another encoder-decoder model: the mean over the heads of the last layer but one (Garg et al. 2019,
      arXiv:1909.02074, find alignment there).
    - An encoder: the mean over the heads of the layer at two thirds of its depth (the choice for vectors of 8 of 12
      layers, Jalili Sabet et al. 2020, arXiv:2004.08728, taken over to attention).

    Raises:
        ModelError, InputError: as :func:`require_infiller`.
    """
    reader = require_infiller(model)
    guided = getattr(reader.model.config, "guided_attention", None)
    if isinstance(guided, dict) and {"layer", "head"} <= guided.keys():
        return checked_heads(reader, [(guided["layer"], guided["head"])])[0], "the head that was guided in training"
    layer, where = reader.layers - 1, "the last layer but one"
    if reader.family != "seq2seq":
        layer, where = -(-2 * reader.layers // 3), "the layer at two thirds of the depth"
    return View(max(1, layer), "mean", reader.infill_reading), f"by rule: the mean over the heads of {where}"


def checked_heads(model: PairModel, heads: Sequence[View | tuple[Any, ...]]) -> tuple[View, ...]:
    """Heads of a model whose rows are distributions: (layer, head[, mode]), numbers from 1 or ``"mean"``.

    Raises:
        InputError: none, or one that the model does not have; the maximum over heads, which is no distribution; a mode
            in which masked words are not read.
        ModelError: a mode that the model does not have.
    """
    out = []
    for given in heads:
        if len(given) not in (2, 3):
            raise InputError(f"{given!r} is no head", remedy="Give (layer, head), numbers from 1 or 'mean'")
        head = View(given[0], given[1], given[2] if len(given) == 3 else model.infill_reading)
        for what, number, count in (("layer", head.layer, model.layers), ("head", head.head, model.heads)):
            whole = isinstance(number, int) and not isinstance(number, bool)
            if number != "mean" and not (whole and 1 <= int(number) <= count):
                raise InputError(f"{model.name} has no {what} {number!r}", remedy=f"Choose from 1 to {count}, or mean")
        model.require_reading(head.reading)
        if head.reading != model.infill_reading:
            raise InputError(
                f"masked words of {model.name} are read in the mode {model.infill_reading!r}, not {head.reading!r}",
                remedy="Leave out the mode",
            )
        out.append(head)
    if not out:
        raise InputError("no head is asked for", remedy="Name a layer and a head, or leave heads out")
    return tuple(dict.fromkeys(out))


def checked_mask(layout: Layout, mask: Sequence[int]) -> Mask:
    """The words of a mask, ascending, each once.

    Raises:
        InputError: no such target word, or one without any token.
    """
    pair = layout.pair
    words = tuple(sorted({int(word) for word in mask}))
    if words and not 0 <= words[0] <= words[-1] < len(pair.target):
        raise InputError(
            f"the mask {words} of pair {pair.id} names a word outside of its {len(pair.target)} target words",
            remedy="Words are counted from 0",
        )
    block = next(iter(layout.blocks.values()))[0]
    present = set((block.row_words if block.side == "target" else block.column_words).tolist())
    for word in words:
        if word not in present:
            raise InputError(
                f"target word {word} ({pair.target[word]!r}) of pair {pair.id} has no token in this model, so that "
                "it cannot be masked",
                remedy="Leave it out of the mask",
            )
    return words


def infill(
    model: Any,
    pairs: Sequence[SentencePair],
    masks: Sequence[Sequence[Sequence[int]]],
    *,
    heads: Sequence[View | tuple[Any, ...]] | None = None,
    top: int = TOP,
    token_budget: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[InfillResult]:
    """Run a model on pairs unmasked and with target words masked, variants and pairs of like length in one batch.

    Args:
        model: of :func:`align_eval.load_model`, one that was trained to fill masked words.
        pairs: the sentence pairs.
        masks: for each pair its variants, each the masked target words, 0-based; an empty one masks nothing.
        heads: which are kept: (layer, head), numbers from 1 or ``"mean"``; ``None``: the head guided in training, or
            the model's default. Only their layers are read.
        top: fillings kept for each masked word.
        token_budget: tokens in a batch, padding counted; ``None``: what the device takes. It changes speed and memory,
            not the numbers.
        progress: called with the number of pairs done since the last call.

    Yields:
        a result for each pair, as pairs are done: longest first, each with its ``index``.

    Raises:
        ModelError: the model cannot fill; weights missing or no distribution.
        InputError: a mask that names no word of its pair, or a word without any token; no such head.
        SentenceTooLongError: a pair does not fit the model.
        NonFiniteError: NaN or infinity in attention or logits.
    """
    reader = require_infiller(model)
    chosen = (default_head(reader)[0],) if heads is None else checked_heads(reader, heads)
    if len(masks) != len(pairs):
        raise InputError(f"{len(masks)} lists of masks for {len(pairs)} pairs", remedy="Give one list for each pair")
    layouts = reader.lay_out(pairs)
    wanted = [[checked_mask(layout, mask) for mask in some] for layout, some in zip(layouts, masks, strict=True)]
    budget = budget_of(token_budget, reader.device, reader.hidden_size)
    todo = batches(pairs, [layout.size for layout in layouts], wanted, budget)
    found = (run_batch(reader, batch, chosen, top, layouts) for batch in todo)
    return gathered(pairs, wanted, chosen, found, progress)


def infill_maps(
    model: Any, pair: SentencePair, masked: Sequence[int], *, layer: int | str, head: int | str
) -> tuple[ScoreMatrix, ScoreMatrix]:
    """The attention maps of a pair unmasked and with target words masked, between tokens, on the same axes.

    Args:
        model: as of :func:`infill`.
        pair: the pair.
        masked: the masked target words, 0-based.
        layer, head: numbers from 1, or ``"mean"``.

    Returns:
        (unmasked, masked): one layer, one head; rows are target tokens (masked ones are labelled ``[MASK]`` in the
        second, as are masked words in its text), columns all tokens of the source with the special ones. Of an encoder
        the columns are the source's words alone, and each row is divided by its mass on them; ``left_out`` is what lay
        elsewhere.

    Raises:
        as :func:`infill`.
    """
    reader = require_infiller(model)
    (view,) = checked_heads(reader, [(layer, head)])
    return infill_with_maps(reader, pair, masked, view)[1:]


def infill_with_maps(
    reader: PairModel, pair: SentencePair, masked: Sequence[int], head: View, top: int = TOP
) -> tuple[InfillResult, ScoreMatrix, ScoreMatrix]:
    """One forward pass of a pair unmasked and masked: its result, and the maps of :func:`infill_maps`."""
    (layout,) = reader.lay_out([pair])
    mask = checked_mask(layout, masked)
    maps: list[ScoreMatrix] = []
    runs = run_batch(reader, Batch(((0, pair),), ((0, -1, ()), (0, 0, mask))), (head,), top, [layout], maps)
    (result,) = gathered([pair], [[mask]], (head,), [runs])
    text = tuple(MASK_LABEL if k in mask else word for k, word in enumerate(pair.target))
    return result, maps[0], replace(maps[1], target=replace(maps[1].target, text=(text,)))


@dataclass(frozen=True)
class Batch:
    """What one pass of a model reads; small enough to be sent to where the model is.

    Attributes:
        pairs: number and sentence pair, each once.
        runs: number of the pair and of its mask (-1: unmasked), and the masked words, 0-based, ascending.
    """

    pairs: tuple[tuple[int, SentencePair], ...]
    runs: tuple[tuple[int, int, Mask], ...]


def batches(
    pairs: Sequence[SentencePair], sizes: Sequence[int], masks: Sequence[Sequence[Mask]], budget: int = LEAST_BUDGET
) -> Iterator[Batch]:
    """The batches in which pairs are read unmasked and with each of their masks, under a budget of padded tokens.

    ``sizes`` are tokens of the pairs (:attr:`align_eval.models.pairs.Layout.size`), which masking does not change.
    """
    runs: list[tuple[int, int, Mask]] = []
    for number, some in enumerate(masks):
        runs += [(number, -1, ()), *((number, k, mask) for k, mask in enumerate(some))]
    for members in buckets([sizes[number] for number, *_ in runs], budget, overhead=OVERHEAD) if runs else ():
        chosen = tuple(runs[k] for k in members)
        yield Batch(tuple((k, pairs[k]) for k in dict.fromkeys(number for number, *_ in chosen)), chosen)


@dataclass(frozen=True)
class _Item:
    """One run: number of the pair and of its mask, what is read, and the masked rows with their words and ids."""

    pair: int
    mask: int
    layout: Layout
    rows: IdArray
    words: IdArray
    tokens: IdArray


def run_batch(
    reader: PairModel, batch: Batch, heads: tuple[View, ...], top: int, layouts: Sequence[Layout] | None = None,
    maps: list[ScoreMatrix] | None = None,
) -> list[Run]:  # fmt: skip
    """One pass over a batch, or several where memory is short: rows of the heads, predictions of the masked words.

    ``layouts``: all encoded pairs, by number; ``maps`` takes the map of the first head of each run.

    Raises:
        NonFiniteError: NaN or infinity in attention or logits.
    """
    of_pair: Any = layouts
    if layouts is None:
        of_pair = dict(zip([k for k, _ in batch.pairs], reader.lay_out([pair for _, pair in batch.pairs]), strict=True))
    items = []
    for number, k, mask in batch.runs:
        layout = of_pair[number]
        (block,) = layout.blocks[reader.infill_reading]
        masked = np.isin(block.row_words, mask)
        rows = block.rows[masked]
        changed = mask_tokens(layout, rows, int(reader.tokenizer.mask_token_id)) if mask else layout
        items.append(_Item(number, k, changed, rows, block.row_words[masked], layout.inputs[-1][rows]))
    found = in_halves([items], lambda some: _pass(reader, some, heads, top, maps))
    return [run for _, runs in found for run in runs]


def _pass(
    reader: PairModel, items: list[_Item], heads: tuple[View, ...], top: int, maps: list[ScoreMatrix] | None
) -> list[Run]:
    layouts = [item.layout for item in items]
    keeper = RowKeeper(reader, layouts, heads, raw=maps is not None)
    sites = {layer: reader.sites[layer - 1] for layer in keeper.layers}
    counts = [len(item.rows) for item in items]
    ends = np.cumsum(counts).tolist()
    some = ends[-1] > 0  # masked tokens, whose logits ask for the whole pass
    places, rows, tokens = (
        torch.from_numpy(array).to(reader.device)
        for array in (
            np.repeat(np.arange(len(items)), counts),
            np.concatenate([item.rows for item in items]),
            np.concatenate([item.tokens for item in items]),
        )
    )
    attention = AttentionPass(reader.model, sites, lambda: reader.forward_variants(layouts), reader.name, to_end=some)
    at: Any = logits_at(reader.model, places, rows, reader.name) if some else contextlib.nullcontext([])
    with at as seen:
        for layer, weights in attention:
            keeper.take(layer, weights)
    found: Any = None
    if some:
        logits = logits_of_pass(seen, attention.output, places, rows, reader.name)
        found = predictions(logits, tokens, top, reader.name)
    out: list[Run] = []
    for k, item in enumerate(items):
        filled: tuple[Filled, ...] = ()
        if counts[k]:
            mask, part = np.unique(item.words).tolist(), found[slice(ends[k] - counts[k], ends[k])]
            filled = fill_words(reader.tokenizer, part, item.words, item.layout.pair.target, mask, top)
        out.append((item.pair, item.mask, keeper.rows(k), filled))
    if maps is not None:
        maps += [keeper.map(k) for k in range(len(items))]
    return out


def gathered(
    pairs: Sequence[SentencePair], wanted: Sequence[Sequence[Mask]], heads: tuple[View, ...],
    runs_of_batches: Iterable[Sequence[Run]], progress: Callable[[int], None] | None = None,
) -> Iterator[InfillResult]:  # fmt: skip
    """Put the runs of batches together to results, each as soon as its pair has all of its runs.

    ``wanted`` has for each pair the masks that are run, beside the unmasked run.
    """
    found: dict[int, dict[int, tuple[WordRows, tuple[Filled, ...]]]] = {}
    for runs in runs_of_batches:
        for number, mask, rows, filled in runs:
            found.setdefault(number, {})[mask] = (rows, filled)
        touched = sorted({number for number, *_ in runs})
        done = [number for number in touched if len(found[number]) == len(wanted[number]) + 1]
        for number in done:
            of_pair = found.pop(number)
            variants = tuple(Variant(mask, *of_pair[k]) for k, mask in enumerate(wanted[number]))
            yield InfillResult(number, pairs[number], heads, of_pair[-1][0], variants)
        if progress is not None and done:
            progress(len(done))
