"""The options that say where the work of a run is done, and the engine that they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from align_eval.runs.engines import Engine


EngineName = Literal["local", "ray"]
"""Where the work is done."""


ENGINE = typer.Option(
    "local",
    help="local: this process; ray: actors on a Ray cluster, each with a model, with the same output (it needs pip "
    "install 'align-eval[ray]').",
)
ACTORS = typer.Option(
    None, min=1, help="Actors of --engine ray. Default: as many as what is free of the cluster has room for."
)
CPUS_PER_ACTOR = typer.Option(None, min=0, help="CPUs of an actor, and the threads that it computes with. Default: 1.")
GPUS_PER_ACTOR = typer.Option(
    None,
    min=0,
    help="GPUs of an actor; 0.5 puts two on one. Default: 1 if the cluster has one free, 0 with --device cpu.",
)
RAY_ADDRESS = typer.Option(
    None, help="A running Ray cluster: auto, HOST:PORT. Default: RAY_ADDRESS, else one on this machine for this run."
)


def engine_of(
    engine: EngineName,
    actors: int | None,
    cpus: float | None,
    gpus: float | None,
    address: str | None,
    device: str,
) -> tuple[Engine, str]:
    """The engine that the options ask for, and the device of its models: ``--device auto`` is of the cluster.

    Raises:
        typer.BadParameter: options that do not go together.
        EngineError: the package ray is missing.
        InputError: actors that cannot be.
    """
    from align_eval.runs.engines import make_engine

    if engine == "local":
        if any(given is not None for given in (actors, cpus, gpus, address)):
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
    made = make_engine("ray", actors=actors, cpus=1 if cpus is None else cpus, gpus=gpus, address=address)
    return made, made.device(device)
