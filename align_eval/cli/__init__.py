"""The command ``align-eval``. One thin file a command, with a function of its name; a group of commands has ``add_to``.

They import what is heavy inside their functions, so that ``align-eval --help`` needs neither numpy nor torch.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from align_eval.cli._options import command
from align_eval.cli._process import ending_signals, flush, prepare_streams, reader_left, silence
from align_eval.errors import AlignEvalError, AlignEvalWarning
from align_eval.shown import shown
from align_eval.version import __version__


def _version(value: bool) -> None:
    if value:
        typer.echo(f"align-eval {__version__}")
        raise typer.Exit


def build_app(words: Sequence[str] = (), asked: list[bool] | None = None) -> typer.Typer:
    """The application with every command; if ``words`` begin with a command, that command's file alone is imported.

    ``asked`` is not empty in the end if ``-v`` was given before the command.
    """
    app = typer.Typer(
        name="align-eval",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: rich takes as long to import as everything else together
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Evaluate cross-lingual alignment: gold word alignments in, links from transformer models, scores out.",
    )

    @app.callback()
    def root(
        version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
        verbose: bool = typer.Option(
            False, "-v", "--verbose", help="Show the traceback of an error (also after a command)."
        ),
    ) -> None:
        if verbose and asked is not None:
            asked.append(True)

    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    for name in [words[0]] if words and words[0] in names else names:
        module = importlib.import_module(f"{__name__}.{name}")
        if hasattr(module, "add_to"):
            module.add_to(app)
        else:
            command(app)(getattr(module, name))
    return app


def _add_verbose(command: Any, asked: list[bool]) -> None:
    """Let a command and all below it take ``-v`` as an option of their own; what is a value of another one stays so."""
    from typer.core import TyperOption

    def note(context: Any, parameter: Any, value: bool) -> None:
        asked.extend([True] if value else [])

    for below in getattr(command, "commands", {}).values():
        _add_verbose(below, asked)
        below.params.append(
            TyperOption(param_decls=["-v", "--verbose"], is_flag=True, expose_value=False, hidden=True, callback=note)
        )


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Warnings of the package as lines on standard error, once each, without the place in the code; others as ever."""
    said: set[str] = set()
    with warnings.catch_warnings():
        if not sys.warnoptions:
            others = warnings.showwarning

            def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
                if issubclass(category, AlignEvalWarning):
                    if str(message) in said:
                        return
                    said.add(str(message))
                    sys.stderr.write(f"align-eval: {shown(str(message))}\n")
                else:
                    others(message, category, *place, **more)

            warnings.simplefilter("default", AlignEvalWarning)
            warnings.showwarning = show
        yield


def _told(error: Exception) -> str | None:
    """The line that is said of an error; ``None``: it is a fault of the program."""
    if isinstance(error, AlignEvalError):
        return str(error)
    if isinstance(error, OSError):
        return shown(f"{error.filename}: " * bool(error.filename) + str(error.strerror or error))
    if "torch" in sys.modules and isinstance(error, RuntimeError):
        from align_eval.models.loading_errors import is_out_of_memory, no_room

        return str(no_room("what is computed")) if is_out_of_memory(error) else None
    return None


def main(arguments: list[str] | None = None) -> None:
    """Run ``align-eval``. Exit code 0; 1 for bad input or data (one line on standard error); 2 for wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked: list[bool] = []
    prepare_streams()
    try:
        with _warnings_as_lines(), ending_signals():
            program: Any = typer.main.get_command(build_app(words, asked))
            _add_verbose(program, asked)
            try:
                program(args=words, prog_name="align-eval")
            finally:
                flush()
    except SystemExit as left:
        if not reader_left(left):
            raise
        silence()
        sys.exit(0)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has left: that is no error. Python must not complain at exit either.
        silence()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.stderr.write("align-eval: interrupted\n")
        sys.exit(130)
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        if asked:
            traceback.print_exc()
        sys.stderr.write(f"align-eval: {told}\n")
        sys.exit(1)
