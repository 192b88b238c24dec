"""Maps collected for the page: every layer and head of sentence pairs or of one text, packed as they are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.aligners.heads import READINGS as MODE_READINGS
from align_eval.aligners.heads import mode_name
from align_eval.corpora import SentencePair, TestSet
from align_eval.errors import InputError
from align_eval.extraction import Extractor, make_extractor
from align_eval.models.batching import LEAST_BUDGET
from align_eval.models.pairs import READINGS, hide
from align_eval.report.page import Axis, Entry, Page, number_axis, shown_name
from align_eval.runs.plain import as_pairs
from align_eval.signals.base import make_attribution
from align_eval.signals.collect import WHOLE, has_words, lay_out_fitting, layout_maps
from align_eval.signals.matrix import ScoreMatrix
from align_eval.signals.pooling import require_rule

if TYPE_CHECKING:
    from align_eval.models.batching import LEAST_BUDGET
from align_eval.models.pairs import Layout, PairModel

MANY = 50  # entries from which a value is stored in 8 bits instead of 16
Rules = tuple[str, str]
Gold = tuple[tuple[int, int, bool], ...]


def explore_page(
    data: TestSet | SentencePair | Iterable[SentencePair | tuple[Any, Any]],
    model: Any,
    *,
    layers: Any = "all",
    heads: Any = "all",
    mode: str | None = None,
    signal: str = "attention",
    method: str | None = "reverse",
    masks: Sequence[Sequence[int]] | None = None,
    keys: str = "sum",
    queries: str = "mean",
    limit: int | None = None,
    bits: int | None = None,
    title: str = "",
    token_budget: int | None = None,
    on_long: str = "leave",
    progress: Callable[[int], None] | None = None,
) -> Page:
    """The page of sentence pairs: maps of every layer and head, gold, links found and their counts.

    Args:
        data: a test set, one pair, or pairs (see :func:`align_eval.align`).
        model: of :func:`align_eval.load_model`.
        layers, heads: see :func:`align_eval.signals.collect.attention_maps`.
        mode: alignment mode (``awo``, ``awi``, ``both``, ``src2tgt``, ``tgt2src``); ``None``: the model's first.
        signal: see :func:`align_eval.signals.base.make_attribution`.
        method: extraction method that links are found by; ``None``: none are sought.
        masks: for each pair the target words (0-based) to hide in a second map, see
            :mod:`align_eval.infilling.probe`; an empty one leaves the pair without. Signal and mode are the
            attention and the mode of the model that fills.
        keys, queries: how sub-words become words, see :mod:`align_eval.signals.pooling`.
        limit: take the first so many pairs.
        bits: 8 or 16 bits a stored value; ``None``: 16, or 8 for more than 50 pairs.
        title: heads the page; "": the model and what it read.
        token_budget: sub-words in a batch; the maps of one batch are in memory at a time.
        on_long: ``leave`` (pairs over the model's window are left out and counted, :attr:`Page.left_out`) or ``raise``.
        progress: called with the number of pairs done since the last call.

    Raises:
        InputError: no pair, none with a token on both sides, a limit below 1, masks that do not fit the pairs, a signal
            or mode beside masks.
        UnknownNameError: an unknown signal, method or rule.
        ModelError, SentenceTooLongError, NonFiniteError: as ``attention_maps``; ModelError if masks are given and the
            model cannot fill.
    """
    if limit is not None and limit < 1:
        raise InputError(f"a limit of {limit} sentence pairs", remedy="Give at least 1")
    for rule in (keys, queries):
        require_rule(rule)
    reading = None if mode is None else MODE_READINGS.get(mode, mode)
    extractor = None if method is None else make_extractor(method)
    found = [data] if isinstance(data, SentencePair) else list(as_pairs(data))
    pairs = found[:limit]
    if not pairs:
        raise InputError("no sentence pair to explore", remedy="Give a pair, pairs or a test set")
    if masks is not None:
        reader, reading = _filling(model, masks, len(pairs), signal, reading)
    else:
        reader = make_attribution(signal, model)
        reading = reading or reader.readings[0]
    encoded = lay_out_fitting(reader, pairs) if on_long == "leave" else reader.lay_out(pairs)
    left = _LeftOut(
        sum(layout is None for layout in encoded),
        sum(layout is not None and not has_words(layout) for layout in encoded),
    )
    live = {k: layout for k, layout in enumerate(encoded) if layout is not None and has_words(layout)}
    if not live:
        left.refuse(reader, pairs)
    name = data.name if isinstance(data, TestSet) else ""
    subject = _subject(reader, model, reading, signal, extractor, (keys, queries))
    if name:
        shown = str(len(live)) if len(live) == len(found) else f"{len(live)} of {len(found)}"
        subject |= {"test set": name, "sentence pairs": shown}
    if left.total:
        subject["left out"] = str(left)
    settings = _Settings(layers, heads, reading, extractor, (keys, queries), all(p.gold is not None for p in pairs))
    page: Page | None = None
    for members in _runs(live, token_budget or LEAST_BUDGET):
        batch = [live[k] for k in members]
        hidden = [()] * len(batch) if masks is None else [masks[k] for k in members]
        maps, changed = _maps(reader, batch, hidden, settings, token_budget)
        for k, one, other, mask in zip(members, maps, changed, hidden, strict=True):
            if page is None:
                columns = Axis("head", ("whole layer",)) if one.heads == (WHOLE,) else number_axis("head", one.heads)
                page = Page(
                    title or shown_name(reader.name) + (f" on {name}" if name else ""), one.quantity,
                    number_axis("layer", one.layers), columns, subject=subject, rules=(keys, queries),
                    bits=bits or (16 if len(live) <= MANY else 8), distribution=reader.distribution,
                    method=extractor.spec if extractor else "", left_out=left.total,
                )  # fmt: skip
            page.add(_entry(pairs[k], one, other, mask, settings))
        if progress:
            progress(len(members))
    if progress and left.total:
        progress(left.total)
    assert page is not None
    return page


@dataclass(frozen=True)
class _LeftOut:
    """Pairs that are on no page: longer than the model's window, or with a side that has no token."""

    long: int
    empty: int

    @property
    def total(self) -> int:
        return self.long + self.empty

    def __str__(self) -> str:
        parts = ((self.long, "longer than the model's window"), (self.empty, "without a token on a side"))
        return ", ".join(f"{count} {what}" for count, what in parts if count)

    def refuse(self, reader: PairModel, pairs: Sequence[SentencePair]) -> None:
        """Say why there is no page: a pair by itself, or all of them."""
        if not self.empty:
            reader.lay_out(pairs[:1])  # says how long it is
        if len(pairs) == 1:
            side = "source" if not pairs[0].source else "target" if not pairs[0].target else ""
            raise InputError(
                f"the {side} of the pair is empty" if side else f"a side of the pair has no token in {reader.name}",
                remedy="Give a source and a target that have words",
            )
        raise InputError(
            f"none of the {len(pairs)} sentence pairs can be shown: {self}", remedy="Give pairs that have words"
        )


def _runs(live: dict[int, Layout], budget: int) -> Iterator[list[int]]:
    """Consecutive pairs under a budget of tokens, padding counted: what is in memory at a time."""
    run: list[int] = []
    longest = 0
    for k, layout in live.items():
        longest = max(longest, layout.size)
        if run and (len(run) + 1) * longest > budget:
            yield run
            run, longest = [], layout.size
        run.append(k)
    if run:
        yield run


@dataclass(frozen=True)
class _Settings:
    """What stays the same over all pairs."""

    layers: Any
    heads: Any
    reading: str
    extractor: Extractor | None
    rules: Rules
    gold: bool


def _subject(
    reader: PairModel, model: Any, reading: str, signal: str, extractor: Extractor | None, rules: Rules
) -> dict[str, Any]:
    revision = getattr(model, "revision", "")
    return {
        "model": shown_name(reader.name),
        **({"revision": str(revision)} if revision else {}),
        "signal": signal,
        "mode": f"{mode_name(reading)} ({READINGS[reading]})" if reading in READINGS else reading,
        "sub-words to words": f"{rules[0]} over keys, {rules[1]} over queries",
        **({"links": extractor.spec} if extractor else {}),
    }


def _filling(
    model: Any, masks: Sequence[Sequence[int]], pairs: int, signal: str, reading: str | None
) -> tuple[PairModel, str]:
    """The model as one that fills hidden words, and its reading."""
    from align_eval.infilling.probe import require_infiller

    if len(masks) != pairs:
        raise InputError(f"{len(masks)} masks for {pairs} sentence pairs", remedy="Give one for each, maybe empty")
    reader = require_infiller(model)
    own = str(reader.infill_reading)
    if signal != "attention" or reading not in (None, own):
        raise InputError(
            "a page with masked words shows the attention of the model that fills them",
            remedy=f"Leave out the signal, and the mode or name {mode_name(own)}",
        )
    return reader, own


def _maps(
    reader: PairModel,
    layouts: list[Layout],
    masks: Sequence[Sequence[int]],
    settings: _Settings,
    token_budget: int | None,
) -> tuple[list[ScoreMatrix], list[ScoreMatrix | None]]:
    """The maps of pairs whole, and with words masked where there is a mask."""
    masked = []
    if any(masks):
        from align_eval.infilling.probe import checked_mask

        for layout, mask in zip(layouts, masks, strict=True):
            words = checked_mask(layout, mask)
            if words:
                (block,) = layout.blocks[settings.reading]
                rows = block.rows[np.isin(block.row_words, words)]
                masked.append(hide(layout, rows, int(reader.tokenizer.mask_token_id)))
    found = layout_maps(
        reader, [*layouts, *masked], settings.layers, settings.heads, settings.reading, token_budget, on_host=True
    )
    rest = iter(found[len(layouts) :])
    return found[: len(layouts)], [next(rest) if len(mask) else None for mask in masks]


def _entry(
    pair: SentencePair, maps: ScoreMatrix, changed: ScoreMatrix | None, masked: Sequence[int], settings: _Settings
) -> Entry:
    """What the page shows of a pair."""
    turned = maps.attends == "target"
    gold: Gold | None = None
    if pair.gold is not None:
        sure = set(pair.gold.sure)
        gold = tuple(((j, i) if turned else (i, j)) + ((i, j) in sure,) for i, j in pair.gold.possible)
    links = counts = None
    if settings.extractor is not None:
        links = _links(maps, settings.extractor, settings.rules)
        counts = _counts(links, gold) if settings.gold and gold is not None else None
    return Entry(
        pair.id,
        maps.by_head().float().cpu().numpy(),
        maps.queries.units(0),
        maps.keys.units(0),
        maps.queries.words[0].cpu().numpy(),
        maps.keys.words[0].cpu().numpy(),
        maps.queries.text[0],
        maps.keys.text[0],
        maps.attends,
        changed=None if changed is None else changed.by_head().float().cpu().numpy(),
        changed_labels=None if changed is None else changed.queries.units(0),
        changed_words=() if changed is None else tuple(sorted(set(masked))),
        gold=gold,
        links=links,
        counts=counts,
        words_only=maps.reading == "block",
    )


def _links(maps: ScoreMatrix, extractor: Extractor, rules: Rules) -> NDArray[np.bool_]:
    """The links of each view, ``(L, H, query words, key words)``; words without a token have none."""
    found = extractor.of(maps.words(*rules)).links[:, 0]
    found = found.transpose(1, 2) if maps.attends == "target" else found
    return np.asarray(found.unflatten(0, (len(maps.layers), len(maps.heads))).cpu().numpy())


def _counts(links: NDArray[np.bool_], gold: Gold) -> NDArray[np.int64]:
    """Links, links that are sure, links that are possible, of each view: ``(L, H, 3)``."""
    sure, possible = (np.zeros(links.shape[2:], dtype=bool) for _ in range(2))
    for q, k, is_sure in gold:
        possible[q, k] = True
        sure[q, k] = is_sure
    return np.stack([(links & cells).sum(axis=(2, 3)) for cells in (np.ones_like(sure), sure, possible)], axis=-1)
