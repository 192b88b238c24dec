"""``align-eval explore``: one offline HTML page to look at maps."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown

if TYPE_CHECKING:
    from align_eval.report.page import Page

MASK_SEED = 12345


def explore(
    data: str | None = inputs.TESTSET,
    *,
    pairs: inputs.GoldPairsOrOne,
    text: str | None = typer.Option(None, help="A text, whose self-attention is shown instead of a pair."),
    output: str = typer.Option("explore.html", "--output", "-o", metavar="FILE", help="The page goes here."),
    model: str = options.MODEL,
    mask: str | None = typer.Option(
        None,
        help="Also show the maps with target words masked, and the difference: positions:5-8 (from 1), "
        "span:ratio=0.5, suffix:count=5, aligned, ... The model must fill masked words.",
    ),
    maps: options.Maps,
    mode: str | None = typer.Option(
        None, help="awo, awi (encoder-decoder, decoder-only), both, src2tgt, tgt2src (encoder). Default: the first."
    ),
    heads: str = typer.Option("all", "--heads", "--head", help="As --layers, for heads."),
    limit: int | None = options.LIMIT,
    bits: int | None = typer.Option(None, help="8 or 16 bits a stored value. Default: 16, over 50 pairs 8."),
    links: list[str] = typer.Option(
        [], metavar="FILE", help="Show these links, a file a system, in place of a model's maps; several times."
    ),
    title: str = typer.Option("", help="Heads the page. Default: model and test set."),
    languages: inputs.CorpusLanguages,
    json_: bool = typer.Option(False, "--json", help="Print what was written as JSON."),
    loading: options.Loading,
    batch_tokens: int | None = options.BATCH_TOKENS,
    on_long: options.OnLongPair = options.ON_LONG_PAIR,
) -> None:
    """Write one HTML file to explore every layer and head: of a pair, a text or a test set; or files of links.

    The file needs no network and can be sent to others. Of a test set it lists all pairs with their scores under
    the layer and head that are chosen, and leads to the maps of each.
    """
    if text is not None and (data is not None or pairs.files() or links):
        raise typer.BadParameter("--text goes without a test set, --bitext, --source, --target and --links")
    if bits not in (None, 8, 16):
        raise typer.BadParameter("--bits must be 8 or 16")
    if text is not None and (mask is not None or maps.signal != "attention" or mode is not None):
        raise typer.BadParameter("--mask, --signal and --mode do not go with --text")

    from align_eval.cli._progress import progress_bar
    from align_eval.runs.explore import explore_links, explore_page, explore_text
    from align_eval.runs.sweep import for_testset

    given: Any = None
    if text is None:
        given = pairs.testset(data, languages.both, sentences=True)
    if links:
        page = explore_links(given, {os.path.basename(name): name for name in links}, limit=limit, title=title)
        _write(page, output, json_)
        return
    loaded = loading.load(model, **languages.of_model(data))
    common: dict[str, Any] = {**maps.rules(loaded.layers), "title": title}
    if text is not None:
        _write(explore_text(loaded, text, bits=bits or 16, **common), output, json_)
        return
    loaded = for_testset(loaded, given)
    shown_pairs = given.pairs[:limit]
    masks = None
    if mask is not None:
        from align_eval.infilling.strategies import make_strategy, masks_of

        language = languages.target_language or given.target_language or None
        masks = [
            found[0] if found else ()
            for found in masks_of(make_strategy(mask, language=language), shown_pairs, MASK_SEED)
        ]
        if not any(masks):
            raise typer.BadParameter(f"--mask {mask} hides no word of any pair")
    with progress_bar(given.name, len(shown_pairs)) as progress:
        one = given.pairs[0] if not given.files and len(shown_pairs) == 1 else given
        page = explore_page(
            one, loaded, heads="all" if heads == "all" else options.parse_layers(heads, loaded.heads),
            mode=mode, attribution=maps.signal, method=None if maps.method == "none" else maps.method, masks=masks,
            limit=limit, bits=bits, token_budget=batch_tokens, on_long=on_long, progress=progress, **common,
        )  # fmt: skip
    _write(page, output, json_)


def _write(page: Page, output: str, as_json: bool) -> None:
    size = page.write(output)
    about = {
        "file": output, "bytes": size, "entries": len(page), "layers": len(page.rows.labels),
        "heads": len(page.columns.labels), "quantity": page.quantity, "bits": page.bits, "error": page.error,
        "left_out": page.left_out,
    }  # fmt: skip
    options.say_count(page.left_out, "sentence pair", f"left out: {page.subject.get('left out')}")
    if as_json:
        options.print_json(about)
        return
    views = " x ".join(
        f"{len(axis.labels)} {axis.name}{'' if len(axis.labels) == 1 else 's'}" for axis in (page.rows, page.columns)
    )
    entries = f"{len(page)} {'entry' if len(page) == 1 else 'entries'}"
    sys.stdout.write(
        f"{shown(output)}: {entries}, {views}, {size / 1e6:.1f} MB, values off by at most {page.error:.1g}\n"
    )
