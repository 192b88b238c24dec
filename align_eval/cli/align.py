"""``align-eval align``: sentence pairs in, links out, line for line."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from align_eval.corpora import SentencePair
    from align_eval.runs.engines import Engine

# Where no terminal shows a bar, a line of progress is written so often.
LOG_SECONDS = 60.0


@dataclass
class Text(inputs.Pairs):
    """What is aligned."""

    bitext: str | None = typer.Option(
        None,
        help="The sentence pairs in one file; - is standard input. A folder or a quoted pattern ('text/*.tsv.gz'): "
        "many files, each aligned into one of the same name in the folder --output.",
    )


def align(
    text: Text,
    testset: str | None = typer.Option(None, help="The sentences of a named test set (align-eval testsets list)."),
    method: str | None = typer.Option(None, "--method", "-x", help=options.METHOD_HELP + options.DEFAULT_METHOD),
    layer: int | None = typer.Option(
        None, min=0, help="0 is the embeddings. Default: two thirds of the way up; offline:e5-small: 7."
    ),
    *,
    aligning: options.Aligning,
    output: str | None = typer.Option(
        None,
        "--output",
        "-o",
        help="Output file (.gz, .xz, .zst compress), or folder for many files. Resumed if a run was interrupted.",
    ),
    format: Literal["pharaoh", "jsonl", "parquet"] = typer.Option(
        "pharaoh", help="pharaoh: 0-0 1-2, counted from 0; jsonl, parquet (in shards): with link scores."
    ),
    tokenize: str | None = inputs.TOKENIZE,
    keep_text: str | None = typer.Option(
        None,
        metavar="FILE",
        help="Write the words that the links count to FILE (source ||| target). With --tokenize: OUTPUT.text, if "
        "the output itself does not hold them as jsonl and parquet do.",
    ),
    shard_lines: int | None = typer.Option(
        None, min=1, help="Write shards of so many lines, OUTPUT-00000 and on, each whole as soon as it is there."
    ),
    restart: bool = typer.Option(False, help="Start over instead of resuming an interrupted run."),
    loading: options.Loading,
    spread: options.Spread,
) -> None:
    """Align sentence pairs with a model; one line of links for each pair, an empty line where a side is empty.

    The model is of any family: links come from the similarity of its hidden states, or with --attention from one
    of its attention heads. Words are what single spaces separate, unless --tokenize is given.
    """
    files = text.files()
    if bool(files) == (testset is not None):
        raise typer.BadParameter("give one of --bitext, --source with --target, or --testset")

    from align_eval.runs.align_file import file_tasks, names_files

    to_file = output is not None and output != "-"
    many = text.bitext is not None and not text.bitext_format.startswith("datasets") and names_files(text.bitext)
    if many and (not to_file or keep_text is not None):
        raise typer.BadParameter("many files need a folder as --output, and go without --keep-text FILE")
    if not to_file and (shard_lines is not None or format == "parquet" or spread.engine != "local"):
        raise typer.BadParameter("--shard-lines, --format parquet and --engine ray need --output")
    if spread.engine != "local" and "-" in files:
        raise typer.BadParameter("--engine ray reads files, not standard input")
    runner, loading.device = spread.make(loading.device)

    from align_eval.aligners import make_aligner
    from align_eval.runs.align_file import align_lines

    pairs: Iterable[SentencePair] = ()
    languages = aligning.both
    reading = {"format": text.bitext_format, "tokenize": inputs.tokenizers_of(tokenize), "languages": languages}
    tasks = file_tasks(text.bitext, output, format) if many and text.bitext and output else []
    if tasks:
        files = [task.file for task in tasks]
    elif testset is not None:
        from align_eval.corpora import load_testset

        if tokenize is not None:
            raise typer.BadParameter("--tokenize does not go with --testset: its words are those of its gold links")
        loaded = load_testset(testset)
        pairs, files = loaded.pairs, [str(file) for file in loaded.files]
        languages = languages[0] or loaded.source_language, languages[1] or loaded.target_language
    else:
        pairs = text.read(tokenize, languages) or ()
    layers = () if layer is None else (layer,)
    known = {"source_language": languages[0], "target_language": languages[1]}
    more = {"options": loading.options(precision=aligning.precision), **known}
    asked = aligning.choose(aligning.settings(aligning.model, (method or aligning.method(layers),), layers, **more))
    words_lost = tokenize is not None and format == "pharaoh"
    if output is None or not to_file:
        aligner = make_aligner(asked)
        for line in align_lines(aligner, pairs, format):
            sys.stdout.write(line + "\n")
        if keep_text is not None:
            _keep_text(keep_text, pairs)
        elif words_lost:
            lost = "the links count words of the tokeniser, which are not kept"
            options.say(f"{lost}: pass --keep-text FILE, or --format jsonl")
        options.say_long(aligner.take_long())
        return
    if spread.engine != "local" and not isinstance(asked.model, str):
        asked = replace(asked, model=aligning.model)  # a loaded model cannot be sent to other processes
    settings = {
        "bitext_format": text.bitext_format, "tokenize": tokenize, "batch_tokens": aligning.batch_tokens,
        "languages": [asked.source_language, asked.target_language],
    }  # fmt: skip
    common: dict[str, Any] = {"format": format, "settings": settings, "shard_lines": shard_lines}
    make = partial(make_aligner, asked)
    if tasks:
        from align_eval.cli._progress import progress_bar
        from align_eval.runs.align_file import align_files

        with closing(runner), progress_bar("aligning files", len(tasks), "files", log_seconds=LOG_SECONDS) as bar:
            done = align_files(
                make, tasks, reading=reading, resume=not restart, keep_text=words_lost, progress=bar, engine=runner,
                **common,
            )  # fmt: skip
        options.say_long(done)
        options.say(f"{done['lines']} lines of {done['files']} files in {shown(output)}")
        return
    long: Counter[str] = Counter()
    named = [] if "-" in files else files
    resume = not restart and "-" not in files
    lines = _to_file(make, pairs, output, files=named, resume=resume, long=long, engine=runner, **common)
    options.say_long(long)
    if keep_text is not None or words_lost:
        _keep_text(keep_text or f"{output}.text", pairs)
    into = output if shard_lines is None else f"the shards that {output}.shards.jsonl lists"
    options.say(f"{lines} lines in {shown(into)}")


def _keep_text(file: str, pairs: Iterable[SentencePair]) -> None:
    """Write the sentences that were aligned, as words."""
    from align_eval.corpora import write_bitext

    write_bitext(file, pairs, "pipes", drop_gold=True)
    options.say(f"the words that the links count are in {shown(file)}")


def _to_file(make: Any, pairs: Any, output: str, *, files: list[str], engine: Engine, **more: Any) -> int:
    """Align into a file or shards, with progress; the pairs are counted meanwhile, where that is cheap."""
    from align_eval.cli._progress import progress_bar
    from align_eval.corpora import Corpus
    from align_eval.runs.align_file import align_file, count_meanwhile

    counted = isinstance(pairs, Corpus) and pairs.format != "memory"
    with closing(engine), progress_bar("aligning", None if counted else len(pairs), log_seconds=LOG_SECONDS) as bar:
        wait = 0.0 if sys.stderr.isatty() else LOG_SECONDS / 2
        thread = count_meanwhile(pairs, files, bar.expect, wait) if counted else None
        try:
            return align_file(make, pairs, output, progress=bar, resumed=bar.start_at, engine=engine, **more)
        finally:
            if thread is not None:
                thread.cancel()
