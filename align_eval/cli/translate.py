"""``align-eval translate``: translate a text with one or several models, and judge them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown


@dataclass
class Texts(inputs.GoldPairs):
    """Sources with reference translations."""

    target: str | None = typer.Option(
        None, help="The reference translations, one a line (with --source, or a file of sources as TESTSET)."
    )


def translate(
    text: str | None = typer.Argument(
        None,
        metavar="[TESTSET]",
        help="A named test set (align-eval testsets list), or a file with sentence pairs as --bitext names one.",
    ),
    model: list[str] = typer.Option(
        [],
        "--model",
        "-m",
        help="An encoder-decoder model: offline:NAME, a hub name, or a folder. Give it several times for several "
        "models; they are tested against the first.",
    ),
    hypothesis: list[str] = typer.Option(
        [],
        metavar="FILE",
        help="Translations that exist already, one a line; judged after the models, or without any. Give it "
        "several times for several files.",
    ),
    *,
    data: Texts,
    languages: options.Languages,
    source_prefix: str | None = typer.Option(
        None, help="Text in front of each source (T5). Default: what the model's configuration says."
    ),
    reverse: bool = typer.Option(False, help="Translate the second side of the text into the first."),
    limit: int | None = options.LIMIT,
    detokenize: Literal["none", "moses"] = typer.Option(
        "none",
        help="The text that is translated and scored against: words joined by spaces, or detokenised as Moses "
        "does. Test sets are tokenised.",
    ),
    beam: int = typer.Option(5, min=1, help="Hypotheses kept at each step; 1 is greedy."),
    max_length: int | None = typer.Option(
        None, min=2, help="Sub-words of a translation. Default: three times those of its source, and 20."
    ),
    on_long: Literal["raise", "window", "leave"] = typer.Option(
        "raise",
        help="Sources over the model's window: fail, translate them in pieces, or leave their translations empty.",
    ),
    layer: str | None = typer.Option(None, help="Layer of the attention for AER, from 1, or mean. Default: chosen."),
    head: str | None = typer.Option(None, help="Head, from 1, or mean. Default: chosen."),
    mode: str | None = typer.Option(None, help="awi or awo. Default: chosen."),
    method: str = typer.Option("reverse", "--method", "-x", help="How attention becomes links."),
    development: float = typer.Option(
        0.2, help="Share of the sentences that layer, head and mode are chosen on; AER is of the rest."
    ),
    aligner: str = typer.Option(
        "offline:e5-small",
        help="Independent aligner of the translations with their sources: an encoder, eflomal, fast_align or hmm "
        "(with options, as eflomal:train=FILE), or none.",
    ),
    aligner_method: str | None = typer.Option(
        None, help="Its method, if it is a model. Default: refined for offline:e5-small, argmax for others."
    ),
    tokenize: str | None = typer.Option(
        None,
        help="Words of that aligner: a sacrebleu tokenizer (13a, zh, none, ...), or two as SOURCE,TRANSLATION. "
        "Default: the source as it is if it has gold links, else by language.",
    ),
    count_punctuation: bool = typer.Option(False, help="Count punctuation among uncovered and unsupported words."),
    bleu_tokenizer: str | None = typer.Option(None, help="sacrebleu tokenizer of BLEU. Default: by language."),
    paired: options.Paired = typer.Option("randomisation", help="Test of later models against the first."),
    resamples: int = typer.Option(1000, min=0, help="Resamples of intervals and tests; 0: none of them."),
    seed: int = typer.Option(12345, min=1, help="Seed of the resamples and of the choice of the development part."),
    worst: int = typer.Option(5, min=0, help="Sentences listed with the most words without a link."),
    json_: bool = typer.Option(False, "--json", help="Print a JSON list, one object a model."),
    output: str | None = typer.Option(
        None,
        "--output",
        "-o",
        metavar="FOLDER",
        help="Also write translations (one a line), a table of sentences (TSV) and scores.json here. An "
        "interrupted run goes on where it stopped.",
    ),
    restart: bool = typer.Option(False, help="Translate anew instead of taking over what lies in FOLDER."),
    loading: options.Loading,
    batch_tokens: int | None = options.BATCH_TOKENS,
) -> None:
    """Translate a text with models, or read translations of it, and judge them: scores, words left out or made up.

    BLEU, chrF and TER with sacrebleu's signatures and intervals; AER of the models' attention against gold links,
    if the text has them; and the words of sources and translations that an independent aligner does not link.
    """
    if not 0 < development < 1:
        raise typer.BadParameter("--development must be between 0 and 1, for example 0.2")
    if loading.revision is not None and len(model) > 1:
        raise typer.BadParameter("--revision goes with one model only")
    if not model and not hypothesis:
        raise typer.BadParameter("give --model, or --hypothesis FILE with translations that exist")
    if resamples == 1:
        raise typer.BadParameter("--resamples must be 0 (none) or at least 2")
    words = inputs.tokenizers_of(tokenize)

    from align_eval.cli._progress import progress_bar
    from align_eval.models.translation import Decoding
    from align_eval.runs.parallel_text import open_text
    from align_eval.translation.report import render, to_json, write_folder
    from align_eval.translation.translate import (
        AttentionChoice,
        TranslateSettings,
        read_hypotheses,
        translate_and_score,
    )

    if text is not None and data.target is not None and data.source is None:
        text, data.source = None, text  # the sources, and the references beside them
    given = data.testset(text, languages.both[::-1] if reverse else languages.both)
    opened = open_text(given, reverse=reverse, detokenize=detokenize, limit=limit, **vars(languages))
    hypotheses = read_hypotheses(hypothesis, len(given), limit)
    settings = TranslateSettings(
        decoding=Decoding(beam, max_length, on_long, batch_tokens),
        loading={**vars(loading), **vars(languages), "source_prefix": source_prefix},
        choice=AttentionChoice(
            options.parse_number("--layer", layer), options.parse_number("--head", head, ("mean", "max")), mode,
            method, development,
        ),
        aligner=None if aligner == "none" else aligner,
        aligner_method=aligner_method,
        tokenize=(words, words) if words is None or isinstance(words, str) else words,
        punctuation=count_punctuation,
        bleu_tokenize=bleu_tokenizer,
        resamples=resamples,
        seed=seed,
        tests=options.tests_of(paired),
    )  # fmt: skip
    found = translate_and_score(
        opened, model, settings, hypotheses=hypotheses, folder=output, resume=not restart,
        bars=lambda what, total: progress_bar(what, total, "sentences"),
    )  # fmt: skip
    for one in found:
        name, long = shown(one.model), "longer than the model's window:"
        left, pieces = sum(t.left for t in one.translations), sum(t.pieces > 1 for t in one.translations)
        options.say_count(left, "source", f"{long} left without a translation", name)
        options.say_count(pieces, "source", f"{long} translated in pieces", name)
    if output is not None:
        write_folder(found, output, worst)
    if json_:
        options.print_json([to_json(one, worst) for one in found])
    else:
        sys.stdout.write(render(found, worst))
