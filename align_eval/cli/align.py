"""``align-eval align``: sentence pairs in, links out, line for line."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import typer

from align_eval.cli import _attention as heads
from align_eval.cli import _engine as engines
from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from align_eval.corpora import SentencePair
    from align_eval.runs.align_file import FilesDone, FileTask
    from align_eval.runs.engines import Engine


LineFormat = Literal["pharaoh", "jsonl", "parquet"]
"""Forms of the output."""


# Where no terminal shows a bar, a line of progress is written so often.
LOG_SECONDS = 60.0


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def align(
        bitext: str | None = typer.Option(
            None,
            help="The sentence pairs in one file; - is standard input. A folder or a quoted pattern ('text/*.tsv.gz'): "
            "many files, each aligned into one of the same name in the folder --output.",
        ),
        source: str | None = inputs.SOURCE,
        target: str | None = inputs.TARGET,
        testset: str | None = typer.Option(None, help="The sentences of a named test set (align-eval testsets list)."),
        model: str = options.MODEL,
        method: str | None = typer.Option(
            None, "--method", "-x", help=options.METHOD_HELP + " Default: argmax; with --attention reverse."
        ),
        layer: int | None = typer.Option(
            None, min=0, help="0 is the embeddings. Default: two thirds of the way up; offline:e5-small: 7."
        ),
        attention: str | None = heads.ATTENTION,
        mode: str | None = heads.MODE,
        attribution: str = heads.ATTRIBUTION,
        symmetrize: str | None = heads.SYMMETRIZE,
        choose_on: str | None = heads.CHOOSE_ON,
        source_language: str | None = heads.SOURCE_LANGUAGE,
        target_language: str | None = heads.TARGET_LANGUAGE,
        output: str | None = typer.Option(
            None,
            "--output",
            "-o",
            help="Output file (.gz, .xz, .zst compress), or folder for many files. Resumed if a run was interrupted.",
        ),
        format: LineFormat = typer.Option(
            "pharaoh", help="pharaoh: 0-0 1-2, counted from 0; jsonl, parquet (in shards): with link scores."
        ),
        bitext_format: str = inputs.BITEXT_FORMAT,
        tokenize: str | None = inputs.TOKENIZE,
        keep_text: str | None = typer.Option(
            None,
            metavar="FILE",
            help="Write the words that the links count to FILE (source ||| target). With --tokenize: OUTPUT.text, if "
            "the output itself does not hold them as jsonl and parquet do.",
        ),
        subword: options.Subword = options.SUBWORD,
        on_long: options.OnLong = options.ON_LONG,
        shard_lines: int | None = typer.Option(
            None, min=1, help="Write shards of so many lines, OUTPUT-00000 and on, each whole as soon as it is there."
        ),
        restart: bool = typer.Option(False, help="Start over instead of resuming an interrupted run."),
        device: str = options.DEVICE,
        dtype: options.Dtype = options.DTYPE,
        precision: str | None = options.PRECISION,
        revision: str | None = options.REVISION,
        trust_remote_code: bool = options.TRUST,
        batch_tokens: int | None = options.BATCH_TOKENS,
        engine: engines.EngineName = engines.ENGINE,
        actors: int | None = engines.ACTORS,
        cpus_per_actor: float | None = engines.CPUS_PER_ACTOR,
        gpus_per_actor: float | None = engines.GPUS_PER_ACTOR,
        ray_address: str | None = engines.RAY_ADDRESS,
    ) -> None:
        """Align sentence pairs with a model; one line of links for each pair, an empty line where a side is empty.

        The model is of any family: links come from the similarity of its hidden states, or with --attention from one
        of its attention heads. Words are what single spaces separate, unless --tokenize is given.
        """
        files = inputs.files_of(bitext, source, target)
        if bool(files) == (testset is not None):
            raise typer.BadParameter("give one of --bitext, --source with --target, or --testset")

        from align_eval.runs.align_file import file_tasks, names_files

        to_file = output is not None and output != "-"
        many = bitext is not None and not bitext_format.startswith("datasets") and names_files(bitext)
        if many and (not to_file or keep_text is not None):
            raise typer.BadParameter("many files need a folder as --output, and go without --keep-text FILE")
        spread = engine != "local"
        if not to_file and (shard_lines is not None or format == "parquet" or spread):
            raise typer.BadParameter("--shard-lines, --format parquet and --engine ray need --output")
        if spread and "-" in files:
            raise typer.BadParameter("--engine ray reads files, not standard input")
        runner, device = engines.engine_of(engine, actors, cpus_per_actor, gpus_per_actor, ray_address, device)

        from functools import partial

        from align_eval.aligners import AlignerSettings, make_aligner
        from align_eval.aligners.heads import attention_settings
        from align_eval.runs.align_file import align_lines

        head = attention_settings(attention, mode, attribution, symmetrize, choose_on)

        pairs: Iterable[SentencePair] = ()
        languages: tuple[str | None, str | None] = (None, None)
        tasks = file_tasks(bitext, output, format) if many and bitext is not None and output is not None else []
        if tasks:
            files = [task.file for task in tasks]
        elif testset is not None:
            pairs, files, languages = _testset(testset, tokenize)
        else:
            named = (source_language, target_language)
            pairs = inputs.read_pairs(bitext, source, target, bitext_format, tokenize=tokenize, languages=named) or ()
        loading = {"device": device, "dtype": dtype, "revision": revision, "trust_remote_code": trust_remote_code}
        if precision is not None:
            loading["precision"] = precision
        asked = AlignerSettings(
            model,
            (method or ("argmax" if head is None else "reverse"),),
            () if layer is None else (layer,),
            subword,
            on_long,
            batch_tokens,
            loading,
            head,
            source_language or languages[0],
            target_language or languages[1],
        )
        asked = heads.with_head(asked, choose_on)
        if output is None or not to_file:
            aligner = make_aligner(asked)
            for line in align_lines(aligner, pairs, format):
                sys.stdout.write(line + "\n")
            _keep_text(keep_text, pairs, tokenize is not None and format == "pharaoh")
            heads.say_long(aligner.take_long())
            return
        if spread:
            asked = heads.for_actors(asked, model)
        settings = {
            "bitext_format": bitext_format,
            "tokenize": tokenize,
            "batch_tokens": batch_tokens,
            "languages": [asked.source_language, asked.target_language],
        }
        if tasks:
            reading = {
                "format": bitext_format,
                "tokenize": inputs.tokenizers_of(tokenize),
                "languages": (source_language, target_language),
            }
            done = _many(
                runner,
                partial(make_aligner, asked),
                tasks,
                format=format,
                reading=reading,
                settings=settings,
                resume=not restart,
                shard_lines=shard_lines,
                keep_text=tokenize is not None and format == "pharaoh",
            )
            heads.say_long(done.long)
            sys.stderr.write(f"align-eval: {done.lines} lines of {done.files} files in {shown(str(output))}\n")
            return
        long: Counter[str] = Counter()
        lines = _to_file(
            runner,
            partial(make_aligner, asked),
            pairs,
            output,
            format=format,
            files=[] if "-" in files else files,
            settings=settings,
            resume=not restart and "-" not in files,
            shard_lines=shard_lines,
            long=long,
        )
        heads.say_long(long)
        if keep_text is None and tokenize is not None and format == "pharaoh":
            keep_text = f"{output}.text"
        _keep_text(keep_text, pairs, False)
        into = output if shard_lines is None else f"the shards that {output}.shards.jsonl lists"
        sys.stderr.write(f"align-eval: {lines} lines in {shown(into)}\n")


def _keep_text(file: str | None, pairs: Iterable[SentencePair], needed: bool) -> None:
    """Write the sentences that were aligned, as words; where they are needed and no file is named, say so."""
    if file is not None:
        from align_eval.corpora import write_bitext

        write_bitext(file, pairs, "pipes", drop_gold=True)
        sys.stderr.write(f"align-eval: the words that the links count are in {shown(str(file))}\n")
    elif needed:
        sys.stderr.write(
            "align-eval: the links count words of the tokeniser, which are not kept: pass --keep-text FILE, or "
            "--format jsonl\n"
        )


def _many(engine: Engine, make: Any, tasks: list[FileTask], **options: Any) -> FilesDone:
    """Align files into files, with progress."""
    from contextlib import closing

    from align_eval.cli._progress import progress_bar
    from align_eval.runs.align_file import align_files

    with closing(engine), progress_bar("aligning files", len(tasks), "files", log_seconds=LOG_SECONDS) as bar:
        return align_files(make, tasks, engine=engine, progress=bar, **options)


def _to_file(engine: Engine, make: Any, pairs: Any, output: str, *, files: list[str], **options: Any) -> int:
    """Align into a file or shards, with progress; the pairs are counted meanwhile, where that is cheap."""
    from contextlib import closing

    from align_eval.cli._progress import progress_bar
    from align_eval.corpora import Bitext
    from align_eval.runs.align_file import align_file, count_meanwhile

    counted = isinstance(pairs, Bitext) and pairs.format != "memory"
    with closing(engine), progress_bar("aligning", None if counted else len(pairs), log_seconds=LOG_SECONDS) as bar:
        wait = 0.0 if sys.stderr.isatty() else LOG_SECONDS / 2
        thread = count_meanwhile(pairs, files, bar.expect, wait) if counted else None
        try:
            return align_file(make, pairs, output, progress=bar, resumed=bar.start_at, engine=engine, **options)
        finally:
            if thread is not None:
                thread.cancel()


def _testset(
    name: str, tokenize: str | None
) -> tuple[Iterable[SentencePair], list[str], tuple[str | None, str | None]]:
    """The sentence pairs of a named test set, the files they come from, and their languages."""
    from align_eval.corpora import load_testset

    if tokenize is not None:
        raise typer.BadParameter("--tokenize does not go with --testset: its words are those of its gold links")
    loaded = load_testset(name)
    return loaded.pairs, [str(file) for file in loaded.files], (loaded.source_language, loaded.target_language)
