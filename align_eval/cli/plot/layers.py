"""``align-eval plot layers``: layer x token, of attention, saliency or logit lens divergence."""

from __future__ import annotations

from typing import Any, Literal

import typer

from align_eval.cli import _options as options


def layers(
    *,
    text: str | None = typer.Option(None, help="Draw this text; or give --prompt with --answer or --generate."),
    prompt: str | None = typer.Option(None, help="What stands before the answer; it is read but not drawn."),
    answer: str | None = typer.Option(None, help="The answer to draw, as it goes on after the prompt."),
    generate: int | None = typer.Option(None, min=1, help="Let the model answer, in this many subwords at most."),
    chat: bool = typer.Option(False, "--chat", help="Write the prompt in the model's chat format."),
    quantity: Literal["attention", "saliency", "divergence"] = typer.Option(
        "divergence",
        help="attention: of the query's row; saliency: | attention x gradient | for the token "
        "after the query; divergence: of each layer's logit lens from the last layer, in bits.",
    ),
    query: str = typer.Option(
        "-1",
        help="The position that reads: a token (its last occurrence), or a number from 0 in what is drawn, "
        "-1 the last; text:13 for a token that is a number.",
    ),
    head: str = typer.Option("mean", help="One head from 1, or mean; of saliency the sum over heads."),
    rows: str = typer.Option("own", help="Saliency: own (what the query reads) or all (what all positions read)."),
    norm: bool = typer.Option(True, "--norm/--no-norm", help="Divergence: the final norm before the unembedding."),
    threshold: float = typer.Option(0.5, min=0, max=1, help="Divergence: a token has settled below this, in bits."),
    scale: Literal["auto", "unit", "max"] = typer.Option(
        "auto", help="Light end of the colours: unit (1.0), max (greatest value); auto: unit for divergence."
    ),
    model: str = typer.Option(
        "offline:smollm2-135m", "--model", "-m", help="offline:NAME, a hub name, or a folder; decoder-only."
    ),
    files: options.FigureFiles,
    loading: options.Loading,
) -> None:
    """Draw layers (1 down to the last) by the tokens of an answer: attention, saliency, or logit lens depth."""
    files.check()
    _check(text, prompt, answer, generate, chat, head, rows)
    from align_eval.attribution.text import generate_text, read_text, require_decoder

    loaded = loading.load(model)
    require_decoder(loaded, "a layer x token map")
    if generate is not None:
        plain = generate_text(loaded, prompt or "", generate, chat=chat)
    else:
        plain = read_text(loaded, text or prompt or "", answer or "", chat=chat)
    drawn = loaded.tokenizer.decode(plain.ids[plain.start :].tolist())
    subject = {"model": loaded.name, "prompt": prompt or "", "chat": chat, "text": drawn}
    top = {"auto": 1.0 if quantity == "divergence" else None, "unit": 1.0, "max": None}[scale]
    if quantity == "divergence":
        figure, summary = _divergence(loaded, plain, norm, threshold, top, subject)
    else:
        number = "mean" if head == "mean" else int(head)
        figure, summary = _row(loaded, plain, quantity, query, number, rows, top, subject)
    files.finish(figure, summary)


def _check(
    text: str | None, prompt: str | None, answer: str | None, generate: int | None, chat: bool, head: str, rows: str
) -> None:
    if (text is None) == (prompt is None):
        raise typer.BadParameter("give --text, or --prompt with --answer or --generate", param_hint="--text")
    if prompt is not None and (answer is None) == (generate is None):
        raise typer.BadParameter("give either --answer or --generate with --prompt", param_hint="--prompt")
    if text is not None and (answer is not None or generate is not None or chat):
        raise typer.BadParameter("--answer, --generate and --chat go with --prompt", param_hint="--text")
    if head != "mean" and not head.isdecimal():
        raise typer.BadParameter(f"{head!r}: a number from 1, or mean", param_hint="--head")
    if rows not in ("own", "all"):
        raise typer.BadParameter(f"{rows!r}: own or all", param_hint="--rows")


def _divergence(loaded: Any, plain: Any, norm: bool, threshold: float, top: float | None, subject: Any) -> Any:
    from align_eval.attribution.text_layers import lens_depth, settling_depth
    from align_eval.figures.layers import layer_token_map, summarise_depth

    depth = lens_depth(loaded, plain, norm=norm)
    style: dict[str, Any] = {
        "quantity": "Jensen–Shannon divergence, bits", "high": top,
        "marks": settling_depth(depth.divergence, threshold).tolist(),
        "marks_label": f"settled: from this layer on, not above {threshold:g} bits",
        "title": f"logit lens {'with' if norm else 'without'} the final norm, against the last layer",
    }  # fmt: skip
    summary = summarise_depth(depth, threshold=threshold, subject=subject)
    return (lambda: layer_token_map(depth.divergence, depth.tokens, **style)), summary


def _row(
    loaded: Any, plain: Any, quantity: str, query: str, head: int | str, rows: str, top: float | None, subject: Any
) -> Any:
    from align_eval.attribution.text import token_texts
    from align_eval.attribution.text_layers import attention_row, find_query, flow_row
    from align_eval.figures.layers import layer_token_map, summarise_layers

    place = find_query(plain, query)
    asked = plain.labels[place]
    which = "mean of all heads" if head == "mean" else f"head {head}"
    if quantity == "attention":
        values = attention_row(loaded, plain, place, head=head)
        name, title = f"attention weight, {which}", f"attention of “{asked}” (position {place - plain.start})"
    else:
        values, token = flow_row(loaded, plain, place, head=head, rows=rows)
        (predicted,) = token_texts(loaded.tokenizer, [token])
        name = "saliency, | sum over heads of A · dL/dA |" if head == "mean" else f"saliency, | A · dL/dA |, {which}"
        reads = f"what “{asked}” reads" if rows == "own" else "what all positions read"
        title = f"{reads} to predict “{predicted}”"
        subject = {**subject, "predicted": predicted, "rows": rows}
    shown = values[:, plain.start :]
    labels = plain.labels[plain.start :]
    summary = summarise_layers(
        shown, labels, quantity=name, first=plain.start, query=place,
        subject={**subject, "query": asked, "query_index": place, "head": head},
        elsewhere=values[:, : plain.start].sum(axis=1) if plain.start else None,
    )  # fmt: skip
    style: dict[str, Any] = {"quantity": name, "high": top, "title": title, "query": place - plain.start}
    return (lambda: layer_token_map(shown, labels, **style)), summary
