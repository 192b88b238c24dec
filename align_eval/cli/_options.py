"""What commands share: groups of options, each a dataclass that :func:`command` takes apart, and what prints."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

import typer

from align_eval.errors import InputError
from align_eval.registry import numbers_of
from align_eval.shown import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from align_eval.aligners import AlignerSettings
    from align_eval.report.summary import Summary
    from align_eval.runs.engines import Engine
    from align_eval.tables import TextTable

Subword = Literal["any", "mean"]
LoneMarks = Literal["cjk", "drop", "keep"]
OnLong = Literal["window", "raise", "leave"]
OnLongPair = Literal["leave", "raise"]
Paired = Literal["randomisation", "bootstrap", "both", "none"]

DEFAULT_MODEL = "offline:e5-small"
MODEL = typer.Option(
    DEFAULT_MODEL, "--model", "-m", help="offline:NAME (align-eval models list), a hub name, or a folder."
)
METHOD_HELP = (
    "refined (a trained aligner over offline:e5-small; refined:path=FOLDER: your own, see align-eval train), argmax "
    "(mutual), forward, reverse, itermax, match, softmax, entmax, transport; options after a colon, as in "
    "softmax:threshold=0.01; simalign:itermax runs the simalign package; eflomal, fast_align, ibm1..ibm4 and hmm need "
    "no model, as in eflomal:train=FILE."
)
DEFAULT_METHOD = (
    " Default: refined for offline:e5-small (with --layer, --subword or --lone-marks argmax), argmax for other models, "
    "reverse with --attention."
)
ON_LONG_PAIR = typer.Option(
    "leave", "--on-long", help="Pairs over the model's window: leave them out, counted on stderr, or fail."
)
REVISION = typer.Option(None, help="Revision of a hub model: a commit, tag or branch.")
TRUST = typer.Option(False, "--trust-remote-code", help="Run code that comes with a hub model. Off unless you ask.")
LIMIT = typer.Option(None, min=1, help="Take the first so many sentence pairs.")
JSON = typer.Option(False, "--json", help="Print JSON to standard output, and nothing else.")
BATCH_TOKENS = typer.Option(
    None,
    min=1,
    help="Padded tokens in one batch of the model; by default 2048 on a CPU, on a GPU what its memory takes.",
)


def command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command; a parameter whose type is a dataclass takes an option for each field of it."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(function)
        groups: dict[str, Any] = {}
        parameters: list[inspect.Parameter] = []
        for key, parameter in inspect.signature(function).parameters.items():
            one = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            if not dataclasses.is_dataclass(hints[key]):
                parameters.append(one.replace(annotation=hints[key]))
                continue
            groups[key], types = hints[key], get_type_hints(hints[key])
            parameters += [
                one.replace(name=field.name, default=field.default, annotation=types[field.name])
                for field in dataclasses.fields(hints[key])
            ]

        def call(**given: Any) -> None:
            for key, group in groups.items():
                given[key] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
            function(**given)

        call.__name__, call.__doc__ = function.__name__, function.__doc__
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        needed = [one for one in parameters if getattr(one.default, "default", None) is ...]
        app.command(name, no_args_is_help=bool(needed))(call)
        return function

    return register


@dataclass
class Loading:
    """How a model is loaded."""

    device: str = typer.Option(
        "auto", help="Where the model runs: auto (a GPU where there is one), cpu, cuda, cuda:1, mps."
    )
    dtype: Literal["float32", "float16", "bfloat16", "float64"] = typer.Option(
        "float32", help="Number type of the model."
    )

    revision: str | None = REVISION
    trust_remote_code: bool = TRUST

    def options(self, **more: Any) -> dict[str, Any]:
        """Keyword arguments of ``load_model``, with those of ``more`` that are given."""
        return vars(self) | {key: value for key, value in more.items() if value is not None}

    def load(self, model: str, **more: Any) -> Any:
        """The model, on ``device``."""
        from align_eval.models import load_model

        return load_model(model, **self.options(**more))


@dataclass
class Languages:
    """Languages of source and target."""

    source_language: str | None = typer.Option(
        None, help="Language code of the source, for models of several languages. Default: the test set's."
    )
    target_language: str | None = typer.Option(None, help="Language code of the target, likewise.")

    @property
    def both(self) -> tuple[str | None, str | None]:
        """Source and target."""
        return self.source_language, self.target_language


@dataclass
class Attention(Languages):
    """Links from attention in place of similarity."""

    attention: str | None = typer.Option(
        None,
        metavar="HEAD",
        help="Read links from an attention head: L6H1 (layer 6, head 1, both from 1), L6 (the mean over its heads), or "
        "auto: the head that aligns --choose-on best. Without it: similarity of hidden states.",
    )
    mode: str | None = typer.Option(
        None,
        help="Alignment mode of --attention: awo (a word is aligned when it is the output), awi (when it is the "
        "input); of encoders both, src2tgt, tgt2src. Default: awi, both; with auto the best.",
    )
    attribution: str = typer.Option(
        "attention",
        metavar="METHOD",
        help="Read another attribution method in place of attention weights: norms, rollout, alti, value-zeroing, ...",
    )
    symmetrize: str | None = typer.Option(
        None,
        metavar="METHOD[:RULE]",
        help="With --attention: align both directions and combine them: intersection, grow, grow-diag, "
        "grow-diag-final, grow-diag-final-and or union; the rule is both or either.",
    )
    choose_on: str | None = typer.Option(
        None,
        metavar="TESTSET",
        help="The test set that --attention auto chooses the head on. Default: the own mini set of the two languages.",
    )

    def head(self) -> Any:
        """What is asked of a head; ``None``: nothing, links are those of similarity."""
        from align_eval.aligners.heads import attention_settings

        return attention_settings(self.attention, self.mode, self.attribution, self.symmetrize, self.choose_on)

    def choose(self, asked: AlignerSettings) -> AlignerSettings:
        """The settings with a head: with ``--attention auto`` the one that aligns a test set best, said on stderr."""
        if asked.attention is None or asked.attention.head is not None:
            return asked
        from align_eval.cli._progress import progress_bar
        from align_eval.runs.evaluate import choose_head, testset_to_choose_on

        testset = testset_to_choose_on(self.choose_on, asked.source_language, asked.target_language)
        total = len(testset.pairs) * (1 if asked.attention.symmetrize is None else 2)
        with progress_bar(f"choosing a head on {testset.name}", total) as progress:
            chosen, said = choose_head(asked, testset, progress=progress)
        say(said)
        return chosen


@dataclass
class Aligning(Attention):
    """What aligns, and how."""

    model: str = MODEL
    subword: Subword = typer.Option(  # noqa: RUF009
        "any", help="any: words are linked if any of their subwords are; mean: mean vector of a word's subwords."
    )
    lone_marks: LoneMarks | None = typer.Option(  # noqa: RUF009
        None,
        help="Leave out the lone '▁' that SentencePiece puts before a word: in words with Chinese characters or kana "
        "(cjk, the default), in all (drop), in none (keep). The method refined does as it was trained.",
    )
    on_long: OnLong = typer.Option(  # noqa: RUF009
        "window",
        help="Pairs over the model's window: align them in overlapping windows, fail, or leave them without links; "
        "told on stderr.",
    )
    precision: str | None = typer.Option(
        None, help="int16: an encoder's products in 16-bit integers, faster on a CPU with AVX2."
    )
    batch_tokens: int | None = BATCH_TOKENS

    def method(self, layers: tuple[int, ...]) -> str:
        """The method where none is named."""
        from align_eval.aligners import default_method

        how: dict[str, Any] = {"subword": self.subword, "lone_marks": self.lone_marks, "attention": self.head()}
        return default_method(self.model, layers=layers, **how)

    def settings(self, model: Any, methods: Sequence[str], layers: tuple[int, ...], **more: Any) -> AlignerSettings:
        """All that is asked of an aligner; ``more``: ``options`` of a model by name, other languages."""
        from align_eval.aligners import AlignerSettings

        given: dict[str, Any] = {"source_language": self.source_language, "target_language": self.target_language}
        return AlignerSettings(
            model, tuple(methods), layers, self.subword, self.on_long, self.batch_tokens, attention=self.head(),
            lone_marks=self.lone_marks, **{**given, **more},
        )  # fmt: skip


@dataclass
class Maps:
    """What is read of a model, and how it becomes links."""

    signal: str = typer.Option(
        "attention",
        help="What is read: attention, norms, norms-layer, rollout, alti, alti-layer, value-zeroing, or a gradient "
        "signal; options after a colon, as in smoothgrad:samples=8.",
    )
    layers: str = typer.Option("all", "--layers", "--layer", help="7, 5-8, 1,3,5-8 or all.")
    keys: str = typer.Option("sum", help="How the sub-words of a key word become one: sum, mean, max, first, last.")
    queries: str = typer.Option("mean", help="How the sub-words of a query word become one.")
    method: str = typer.Option(
        "reverse",
        "--method",
        "-x",
        help="How maps become links; reverse: each target word to its best source word; "
        "none (of explore): without links.",
    )

    def rules(self, available: int) -> dict[str, Any]:
        """Layers (of so many) and the pooling of sub-words, as keyword arguments."""
        layers = "all" if self.layers == "all" else parse_layers(self.layers, available)
        return {"layers": layers, "keys": self.keys, "queries": self.queries}


@dataclass
class Spread:
    """Where the work of a run is done."""

    engine: Literal["local", "ray"] = typer.Option(
        "local",
        help="local: this process; ray: actors on a Ray cluster, each with a model, with the same output (it needs pip "
        "install 'align-eval[ray]').",
    )
    actors: int | None = typer.Option(
        None, min=1, help="Actors of --engine ray. Default: as many as what is free of the cluster has room for."
    )
    cpus_per_actor: float | None = typer.Option(
        None, min=0, help="CPUs of an actor, and the threads that it computes with. Default: 1."
    )
    gpus_per_actor: float | None = typer.Option(
        None,
        min=0,
        help="GPUs of an actor; 0.5 puts two on one. Default: 1 if the cluster has one free, 0 with --device cpu.",
    )
    ray_address: str | None = typer.Option(
        None,
        help="A running Ray cluster: auto, HOST:PORT. Default: RAY_ADDRESS, else one on this machine for this run.",
    )

    def make(self, device: str) -> tuple[Engine, str]:
        """The engine, and the device of its models: ``--device auto`` is of the cluster."""
        from align_eval.runs.engines import make_engine

        cpus, gpus = self.cpus_per_actor, self.gpus_per_actor
        if self.engine == "local":
            if any(given is not None for given in (self.actors, cpus, gpus, self.ray_address)):
                raise typer.BadParameter(
                    "--actors, --cpus-per-actor, --gpus-per-actor and --ray-address go with --engine ray"
                )
            return make_engine("local"), device
        kind, colon, _ = device.partition(":")
        if kind == "cuda" and colon:
            raise typer.BadParameter("Ray gives each actor its GPU: write --device cuda without a number")
        if gpus is not None and kind != "auto" and bool(gpus) != (kind == "cuda"):
            raise typer.BadParameter(
                f"--device {device} and --gpus-per-actor {gpus:g} contradict each other: give --device cuda and GPUs, "
                "--device cpu and none, or one of the two"
            )
        cpus = 1 if cpus is None else cpus
        made = make_engine("ray", actors=self.actors, cpus=cpus, gpus=gpus, address=self.ray_address)
        return made, made.device(device)


@dataclass
class Statistics:
    """Intervals and tests of scores."""

    resamples: int = typer.Option(1000, min=0, help="Resamples of intervals and tests; 0: none of them.")
    seed: int = typer.Option(12345, min=0, help="Seed of the resamples.")
    alpha: float = typer.Option(0.5, min=0, max=1, help="Weight of precision in F_alpha.")
    confidence: float = typer.Option(0.95, help="Level of the intervals, between 0 and 1.")

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise typer.BadParameter("--confidence must be between 0 and 1, for example 0.95")


@dataclass
class ScoreOutput:
    """How scores are printed."""

    json_: bool = typer.Option(False, "--json", help="Print a JSON list, one object a system (of a test set).")
    latex: bool = typer.Option(False, "--latex", help="Print LaTeX tables (package booktabs).")

    def __post_init__(self) -> None:
        if self.json_ and self.latex:
            raise typer.BadParameter("--json and --latex exclude each other")

    def print(self, scores: Sequence[Any], tables: list[TextTable], signatures: Sequence[str], *heading: str) -> None:
        """Print tables and signatures, or what ``to_json`` of each of the scores gives."""
        from align_eval.tables import render_latex, render_text

        if self.json_:
            print_json([score.to_json() for score in scores])
        elif self.latex:
            sys.stdout.write(render_latex(tables, map(shown, signatures)))
        else:
            sys.stdout.write("\n".join([render_text(tables), *heading, *map(shown, signatures)]) + "\n")


@dataclass
class FigureFiles:
    """Where a figure and its summary go."""

    output: list[str] | None = typer.Option(  # noqa: RUF009
        None,
        "--output",
        "-o",
        metavar="FILE",
        help="Write the figure here, as the ending says: png, svg or pdf; may be given several times. Its summary is "
        "written beside it, as .json and .md.",
    )
    as_json: bool = typer.Option(
        False, "--json", help="Print the summary as JSON to standard output, and nothing else."
    )

    def check(self, option: str = "--output") -> None:
        """Raise, before any work is done, for an ending that is no format of figures."""
        from align_eval.figures.style import FORMATS

        for name in self.output or ():
            if Path(name).suffix.lower().lstrip(".") not in FORMATS:
                raise typer.BadParameter(f"{name}: write a figure as one of {', '.join(FORMATS)}", param_hint=option)

    def finish(self, draw: Callable[[], Figure], summary: Summary) -> None:
        """Make and write the figure, and the summary beside it, where files are named; print the summary."""
        written: list[Path] = []
        if self.output:
            from align_eval.figures.style import save
            from align_eval.runs.results import make_folder

            figure = draw()
            for path in map(Path, self.output):
                make_folder(path.parent)
                save(figure, path)
                written.append(path)
            for path in dict.fromkeys(path.with_suffix("") for path in written):
                written += summary.write(path.parent, path.name)
        print_summary(summary, self.as_json)
        if written:
            sys.stderr.write("Written: " + ", ".join(shown(str(path)) for path in written) + "\n")


def parse_layers(text: str, available: int, option: str | None = None) -> list[int]:
    """Layers (or other numbers) from ``7``, ``5-8``, ``1,3,5-8`` or ``all`` (1 to the last)."""
    try:
        return numbers_of(text, 0, available)
    except InputError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def parse_number(option: str, text: str | None, names: Sequence[str] = ("mean",)) -> int | str | None:
    """A layer or head from 1, or the name of an aggregate."""
    if text is None or text in names:
        return text
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"{text!r} is neither a number from 1 nor {' or '.join(names)}", param_hint=option)
    return int(text)


def tests_of(paired: str) -> tuple[str, ...]:
    """The names of the paired tests that ``--paired`` asks for."""
    return {"both": ("randomisation", "bootstrap"), "none": ()}.get(paired, (paired,))


def say(text: str) -> None:
    """Print a line on standard error that begins with the name of the program."""
    sys.stderr.write(f"align-eval: {text}\n")


def say_count(count: int, what: str, told: str, of: str = "") -> None:
    """Say how many there are of what, if any: ``2 pairs are left out``."""
    if count:
        say(f"{of}{': ' if of else ''}{count} {what}{' is' if count == 1 else 's are'} {told}")


def say_long(counted: dict[str, int]) -> None:
    """Say how many pairs over the model's window were aligned in windows or left out."""
    for kind, what in (("windowed", "aligned in overlapping windows"), ("left_out", "left out")):
        say_count(counted.get(kind, 0), "pair", f"longer than the model's window: {what}")


def print_json(data: object) -> None:
    """Print plain data as JSON."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def print_summary(summary: Summary, as_json: bool) -> None:
    """Print what a figure shows, as Markdown or JSON."""
    if as_json:
        print_json(summary.to_json())
    else:
        sys.stdout.write(summary.to_markdown())


def print_fields(data: Mapping[str, Any]) -> None:
    """Print names and their values, a line each; several values below each other, none of what is empty."""
    width = max(map(len, data))
    for name, value in data.items():
        listed = [one for one in (value if isinstance(value, list | tuple) else [value]) if one not in ("", None)]
        for k, one in enumerate(listed):
            typer.echo(shown(f"{'' if k else name:{width}}  {one}"))


def print_columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> None:
    """Print rows of texts as columns; those numbered in ``right`` are set right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.rjust(width) if k in right else text.ljust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo(shown("  ".join(cells).rstrip()))
