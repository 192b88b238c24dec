"""``align-eval models``: list, show and add models."""

from __future__ import annotations

import sys
from typing import Any

import typer

from align_eval.cli import _options as options

_NAME_HELP = "offline:NAME (see `align-eval models list`; the prefix may be left out), a hub name, or a model folder."


def add_to(app: typer.Typer) -> None:
    """Register the command group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="The models: list the offline ones, show what a model is, fetch and convert an offline one. Those called "
        "shipped come with the package; converted models are kept in the cache (ALIGN_EVAL_CACHE). Hub names and model "
        "folders work wherever a model is asked for, and need no entry here.",
    )
    group.command("list")(list_models)
    group.command("show")(show_model)
    group.command("add")(add_model)
    app.add_typer(group, name="models")


def list_models(as_json: bool = options.JSON) -> None:
    """List the offline models. State: ready (converted or shipped), available (its source is here) or absent."""
    from align_eval.models.offline import MODELS, PREFIX

    rows: list[dict[str, Any]] = [
        {
            "name": PREFIX + name, "family": model.family, "layers": model.layers, "heads": model.heads,
            "licence": model.licence, "state": model.state(), "source": model.place, "origin": model.origin,
        }
        for name, model in MODELS.items()
    ]  # fmt: skip
    if as_json:
        options.print_json(rows)
        return
    options.print_columns([tuple(rows[0]), *(tuple(map(str, row.values())) for row in rows)])


def show_model(
    name: str = typer.Argument(help=_NAME_HELP),
    revision: str = options.REVISION,
    trust_remote_code: bool = options.TRUST,
    as_json: bool = options.JSON,
) -> None:
    """Show what a model is: family, shape, licence, and the folder that transformers loads (made if need be)."""
    from align_eval.models.families import describe_model

    data = describe_model(name, revision=revision, trust_remote_code=trust_remote_code).as_dict()
    (options.print_json if as_json else options.print_fields)(data)


def add_model(
    name: str = typer.Argument(help="An offline model, with or without the prefix offline:."),
    accept_licence: bool = typer.Option(
        False, "--accept-licence", help="Agree to the terms of the weights, where they ask for it, without a question."
    ),
) -> None:
    """Fetch the weights of an offline model if they are not on this machine, convert and verify them.

    Models that are shipped with the package are only verified. Of weights with terms to agree to, the terms are shown
    first.
    """
    from align_eval.models.offline import MODELS, PREFIX

    model = MODELS.get(name.removeprefix(PREFIX))
    typer.echo(f"{PREFIX}{model.name}: {model.provenance}", err=True)
    if model.terms and model.state() != "ready":
        typer.echo(model.terms, err=True)
        if not accept_licence:
            _ask(model.name)
    typer.echo(str(model.add()))


def _ask(name: str) -> None:
    """Ask on a terminal whether the terms are accepted; an error where they are not, or nobody can be asked."""
    from align_eval.errors import InputError

    if not (sys.stdin.isatty() and sys.stderr.isatty()) or not typer.confirm("Do you agree?", err=True):
        raise InputError(
            f"the terms of offline:{name} are not accepted, so its weights are not fetched",
            remedy=f"Read them, then run align-eval models add {name} --accept-licence",
        )
