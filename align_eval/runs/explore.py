"""Pages to look at every layer and head of sentence pairs or of one text, or at links of several systems."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.aligners.heads import READINGS as MODE_READINGS
from align_eval.aligners.heads import mode_name
from align_eval.attribution import make_attribution, pair_model
from align_eval.attribution.collect import WHOLE, has_words, lay_out_fitting, layout_maps
from align_eval.attribution.matrix import ScoreMatrix, require_rule
from align_eval.attribution.text import read_text, token_texts
from align_eval.corpora import Corpus, SentencePair, read_links
from align_eval.corpora.plain import as_pairs, as_table
from align_eval.errors import InputError, LengthMismatchError, ModelError, SentenceTooLongError
from align_eval.extraction import Extractor, make_extractor
from align_eval.infilling.probe import checked_mask, require_infiller
from align_eval.links import GoldLinks
from align_eval.models.pairs import READINGS, Layout, PairModel, mask_tokens
from align_eval.models.tokens import IdArray
from align_eval.report.page import Axis, Entry, Page, number_axis, shown_name

IN_MEMORY = 16  # pairs whose matrices of all layers and heads are in memory at a time
MANY = 50  # entries from which a value is stored in 8 bits instead of 16
Gold = tuple[tuple[int, int, bool], ...]


def explore_page(
    data: Corpus | SentencePair | Iterable[SentencePair | tuple[Any, Any]],
    model: Any,
    *,
    layers: Any = "all",
    heads: Any = "all",
    mode: str | None = None,
    attribution: str = "attention",
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
    """The page of sentence pairs: score matrices of every layer and head, gold, links found and their counts.

    Args:
        data: a test set, one pair, or pairs (see :func:`align_eval.align`).
        layers, heads: see :func:`align_eval.attention_maps`.
        mode: alignment mode (``awo``, ``awi``, ``both``, ``src2tgt``, ``tgt2src``); ``None``: the model's first.
        attribution: attribution method; ``method``: extraction method of the links, ``None``: no links.
        masks: for each pair the target words (0-based) to mask in a second matrix; an empty one leaves the pair
            without. Attribution method and mode are then those of the model that fills.
        keys, queries: how subwords become words, see :mod:`align_eval.attribution.matrix`.
        limit: take the first so many pairs.
        bits: 8 or 16 bits a stored value; ``None``: 16, or 8 for more than 50 pairs.
        title: heads the page; "": the model and what it read.
        token_budget: subwords in a batch of the model.
        on_long: ``leave`` (pairs over the model's window are left out and counted, :attr:`Page.left_out`) or ``raise``.

    Raises:
        InputError: no pair that can be shown, a limit below 1, masks that do not fit the pairs or the method.
        ModelError, SentenceTooLongError, NonFiniteError: as ``attention_maps``; masks for a model that cannot fill.
    """
    _check_limit(limit)
    rules = keys, queries
    for rule in rules:
        require_rule(rule)
    reading = None if mode is None else MODE_READINGS.get(mode, mode)
    extractor = None if method is None else make_extractor(method)
    given = [data] if isinstance(data, SentencePair) else list(as_pairs(data))
    pairs = given[:limit]
    if not pairs:
        raise InputError("no sentence pair to explore", remedy="Give a pair, pairs or a test set")
    if masks is None:
        reader: PairModel = make_attribution(attribution, model)
        reading = reading or reader.readings[0]
    else:
        reader, reading = _filling(model, masks, len(pairs), attribution, reading)
    encoded = lay_out_fitting(reader, pairs) if on_long == "leave" else reader.lay_out(pairs)
    live = {k: layout for k, layout in enumerate(encoded) if layout is not None and has_words(layout)}
    long = sum(layout is None for layout in encoded)
    empty = len(pairs) - long - len(live)
    reasons = (long, "longer than the model's window"), (empty, "without a token on a side")
    left = ", ".join(f"{count} {what}" for count, what in reasons if count)
    if not live:
        _refuse(reader, pairs, empty, left)
    name = data.name if isinstance(data, Corpus) else ""
    revision = getattr(model, "revision", "")
    subject: dict[str, Any] = {
        "model": shown_name(reader.name),
        **({"revision": str(revision)} if revision else {}),
        "signal": attribution,
        "mode": f"{mode_name(reading)} ({READINGS[reading]})" if reading in READINGS else reading,
        **_pooled(rules),
        **({"links": extractor.spec} if extractor else {}),
        **({"test set": name, "sentence pairs": _of(len(live), len(given))} if name else {}),
        **({"left out": left} if left else {}),
    }
    all_gold = all(pair.gold is not None for pair in pairs)
    page: Page | None = None
    numbers = list(live)
    for members in (numbers[at : at + IN_MEMORY] for at in range(0, len(numbers), IN_MEMORY)):
        masked = [()] * len(members) if masks is None else [masks[k] for k in members]
        maps, changed = _maps(reader, [live[k] for k in members], masked, layers, heads, reading, token_budget)
        for k, one, other, mask in zip(members, maps, changed, masked, strict=True):
            if page is None:
                columns = Axis("head", ("whole layer",)) if one.heads == (WHOLE,) else number_axis("head", one.heads)
                page = Page(
                    title or shown_name(reader.name) + (f" on {name}" if name else ""), one.quantity,
                    number_axis("layer", one.layers), columns, subject=subject, rules=rules,
                    bits=bits or (16 if len(live) <= MANY else 8), distribution=reader.distribution,
                    method=extractor.spec if extractor else "", left_out=long + empty,
                )  # fmt: skip
            page.add(_entry(pairs[k], one, other, mask, extractor, rules, all_gold))
        if progress:
            progress(len(members))
    if progress and left:
        progress(long + empty)
    assert page is not None
    return page


def explore_text(
    model: Any, text: str, *, layers: Any = "all", bits: int = 16, title: str = "", keys: str = "sum",
    queries: str = "mean",
) -> Page:  # fmt: skip
    """The page of a text by self-attention: queries and keys are its subwords, special ones included.

    The model is an encoder or a decoder-only model; words are what white space separates; ``layers`` are numbers from
    1, or ``"all"``; for the rest see :func:`explore_page`.

    Raises:
        InputError: a text without a word.
        ModelError: an encoder-decoder model, or a layer that the model does not have.
    """
    reader = pair_model(model)
    split = tuple(text.split())
    if not split:
        raise InputError("the text has no word", remedy="Give a text")
    if reader.family == "seq2seq":
        raise ModelError(
            f"{reader.name} is an encoder-decoder model, which reads pairs",
            remedy="Give source and target, or choose an encoder or a decoder-only model",
        )
    ids, spans, labels = _tokens(reader, text)
    words = _words(text, spans)
    chosen = list(range(1, reader.layers + 1)) if layers == "all" else [int(layer) for layer in layers]
    layout = Layout(SentencePair("text", split, ()), (ids,), {}, (np.zeros_like(ids),))
    kept = {layer: weights[0].float().cpu().numpy() for layer, weights in reader.attention([layout], chosen)}
    values = np.stack(list(kept.values()))
    name = shown_name(reader.name)
    page = Page(
        title or f"{name}: self-attention of a text", "attention weight", number_axis("layer", sorted(kept)),
        number_axis("head", range(1, values.shape[1] + 1)), bits=bits, rules=(keys, queries),
        subject={"model": name, "sub-words": len(ids), **_pooled((keys, queries))},
    )  # fmt: skip
    page.add(Entry("text", values, labels, labels, words, words, split, split, "text"))
    return page


def explore_links(testset: Corpus, links: Mapping[str, Any], *, limit: int | None = None, title: str = "") -> Page:
    """The page of links that systems found in a test set; no model is run.

    In place of heads stand the systems, one below the other. A cell is 1, or the score of the link, where the system
    links the two words.

    Args:
        links: the name of each system with its links: a file, or any plain form that :func:`align_eval.score` takes.
        limit, title: see :func:`explore_page`.

    Raises:
        InputError: no system, or a limit below 1; LengthMismatchError: links of another number of sentence pairs.
    """
    _check_limit(limit)
    if not links:
        raise InputError("no links to explore", remedy="Give the links of at least one system")
    tables = []
    for name, given in links.items():
        read = read_links(given, bitext=testset.pairs) if isinstance(given, str | os.PathLike) else given
        tables.append(as_table(read, name))
        if len(tables[-1]) != len(testset.pairs):
            raise LengthMismatchError(
                f"{name} has links of {len(tables[-1])} sentence pairs, {testset.name} has {len(testset.pairs)}"
            )
    pairs = testset.pairs[:limit]
    page = Page(
        title or f"Links on {testset.name}",
        "link (1) or none (0)" if all(table.scores is None for table in tables) else "score of a link",
        Axis("system", tuple(links)), Axis("links", ("found",)), bits=8, distribution=False, method="the system",
        subject={"test set": testset.name, "sentence pairs": _of(len(pairs), len(testset.pairs))},
    )  # fmt: skip
    for number, pair in enumerate(pairs):
        size = (len(pair.source), len(pair.target))
        values = np.zeros((len(tables), 1, *size), dtype=np.float32)
        found = np.zeros(values.shape, dtype=bool)
        for k, table in enumerate(tables):
            one = table[number]
            for place, (i, j) in enumerate(one):
                found[k, 0, i, j], values[k, 0, i, j] = True, 1 if one.scores is None else one.scores[place]
        gold = _gold(pair.gold)
        page.add(Entry(
            pair.id, values, pair.source, pair.target, np.arange(size[0]), np.arange(size[1]), pair.source, pair.target,
            "source", gold=gold, words_only=True, counts=None if gold is None else _counts(found, gold),
        ))  # fmt: skip
    return page


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise InputError(f"a limit of {limit} sentence pairs", remedy="Give at least 1")


def _pooled(rules: tuple[str, str]) -> dict[str, str]:
    return {"sub-words to words": f"{rules[0]} over keys, {rules[1]} over queries"}


def _of(shown: int, there: int) -> str:
    return str(shown) if shown == there else f"{shown} of {there}"


def _refuse(reader: PairModel, pairs: Sequence[SentencePair], empty: int, left: str) -> None:
    """Say why there is no page: a pair by itself, or all of them."""
    if not empty:
        reader.lay_out(pairs[:1])  # says how long it is
    if len(pairs) == 1:
        side = "source" if not pairs[0].source else "target" if not pairs[0].target else ""
        raise InputError(
            f"the {side} of the pair is empty" if side else f"a side of the pair has no token in {reader.name}",
            remedy="Give a source and a target that have words",
        )
    raise InputError(
        f"none of the {len(pairs)} sentence pairs can be shown: {left}", remedy="Give pairs that have words"
    )


def _filling(
    model: Any, masks: Sequence[Sequence[int]], pairs: int, attribution: str, reading: str | None
) -> tuple[PairModel, str]:
    """The model as one that fills masked words, and its mode."""
    if len(masks) != pairs:
        raise InputError(f"{len(masks)} masks for {pairs} sentence pairs", remedy="Give one for each, maybe empty")
    reader = require_infiller(model)
    own = str(reader.infill_reading)
    if attribution != "attention" or reading not in (None, own):
        raise InputError(
            "a page with masked words shows the attention of the model that fills them",
            remedy=f"Leave out the attribution method, and the mode or name {mode_name(own)}",
        )
    return reader, own


def _maps(
    reader: PairModel, layouts: list[Layout], masks: Sequence[Sequence[int]], layers: Any, heads: Any, reading: str,
    token_budget: int | None,
) -> tuple[list[ScoreMatrix], list[ScoreMatrix | None]]:  # fmt: skip
    """The score matrices of unmasked pairs, and with words masked where there is a mask."""
    masked = []
    if any(masks):
        for layout, mask in zip(layouts, masks, strict=True):
            if words := checked_mask(layout, mask):
                (block,) = layout.blocks[reading]
                rows = block.rows[np.isin(block.row_words, words)]
                masked.append(mask_tokens(layout, rows, int(reader.tokenizer.mask_token_id)))
    both = layout_maps(reader, [*layouts, *masked], layers, heads, reading, token_budget, on_host=True)
    rest = iter(both[len(layouts) :])
    return both[: len(layouts)], [next(rest) if len(mask) else None for mask in masks]


def _entry(
    pair: SentencePair, maps: ScoreMatrix, changed: ScoreMatrix | None, masked: Sequence[int],
    extractor: Extractor | None, rules: tuple[str, str], counted: bool,
) -> Entry:  # fmt: skip
    """What the page shows of a pair; its links are counted against gold if ``counted``."""
    turned = maps.attends == "target"
    gold = _gold(pair.gold, turned)
    links = counts = None
    if extractor is not None:  # (L, H, query words, key words); words without a token have no link
        flat = extractor.of(maps.words(*rules)).links[:, 0]
        flat = flat.transpose(1, 2) if turned else flat
        links = np.asarray(flat.unflatten(0, (len(maps.layers), len(maps.heads))).cpu().numpy())
        counts = _counts(links, gold) if counted and gold is not None else None
    return Entry(
        pair.id, maps.by_head().float().cpu().numpy(), maps.queries.units(0), maps.keys.units(0),
        maps.queries.words[0].cpu().numpy(), maps.keys.words[0].cpu().numpy(), maps.queries.text[0], maps.keys.text[0],
        maps.attends,
        changed=None if changed is None else changed.by_head().float().cpu().numpy(),
        changed_labels=None if changed is None else changed.queries.units(0),
        changed_words=() if changed is None else tuple(sorted(set(masked))),
        gold=gold, links=links, counts=counts, words_only=maps.reading == "block",
    )  # fmt: skip


def _gold(gold: GoldLinks | None, turned: bool = False) -> Gold | None:
    """Gold links as (row, column, sure)."""
    if gold is None:
        return None
    sure = set(gold.sure)
    return tuple(((j, i) if turned else (i, j)) + ((i, j) in sure,) for i, j in gold.possible)


def _counts(links: NDArray[np.bool_], gold: Gold) -> NDArray[np.int64]:
    """Links, links that are sure, links that are possible, of each head: ``(L, H, 3)``."""
    sure, possible = (np.zeros(links.shape[2:], dtype=bool) for _ in range(2))
    for q, k, is_sure in gold:
        possible[q, k] = True
        sure[q, k] = is_sure
    return np.stack([(links & cells).sum(axis=(2, 3)) for cells in (np.ones_like(sure), sure, possible)], axis=-1)


def _tokens(reader: PairModel, text: str) -> tuple[IdArray, IdArray, tuple[str, ...]]:
    """Ids ``(T,)``, character spans ``(T, 2)`` (-1 for special subwords) and labels of a text."""
    if reader.family == "decoder":
        plain = read_text(reader, text)
        return plain.ids, plain.spans, plain.labels
    encoding = reader.tokenizer.backend_tokenizer.encode(text, add_special_tokens=True)
    ids = np.array(encoding.ids, dtype=np.int64)
    longest = reader.max_length  # type: ignore[attr-defined]
    if len(ids) > longest:
        raise SentenceTooLongError(
            f"the text has {len(ids)} sub-words, the window of {reader.name} is {longest}", remedy="Shorten it"
        )
    spans = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    spans[np.array(encoding.special_tokens_mask, dtype=bool)] = -1
    return ids, spans, token_texts(reader.tokenizer, ids)


def _words(text: str, spans: IdArray) -> IdArray:
    """The word (0-based) of the first letter of each subword; -1 for special ones and white space alone."""
    owner = np.full(len(text) + 1, -1, dtype=np.int64)
    place = 0
    for number, word in enumerate(text.split()):
        place = text.index(word, place)
        owner[place : place + len(word)] = number
        place += len(word)
    parts = (owner[max(start, 0) : max(end, 0)] for start, end in spans.tolist())
    return np.array([next((word for word in part if word >= 0), -1) for part in parts], dtype=np.int64)
