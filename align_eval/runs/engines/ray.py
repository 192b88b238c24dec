"""The engine ``ray``: a pool of actors on one machine or many, each with one model that it loads once.

This process draws the units of work, keeps a few of them under way and takes the results in order. Where the units are
files, the actors read and write them. Ray starts a new actor for one that died and repeats its units.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any

from align_eval.errors import AlignEvalError, AlignEvalWarning, InputError
from align_eval.runs.engines import ENGINES, B, Engine, EngineError, M, R

AGAIN = "Run the same command again: it goes on where it stopped"
OBJECT_STORE = 1 << 29  # shared memory of a cluster that this process starts: a unit takes well under 1 MiB
UNITS_PER_ACTOR = 4  # one at work, one waiting beside it, and two whose results wait for earlier ones
RETRIES = 3  # how often a unit is tried again whose actor died
SETTLING = 3.0  # seconds to wait for what ended actors give back
PLACING = 120.0  # seconds to wait for actors to start where there was room for them


class Worker:
    """An actor. It makes the model at its first call, so that an error of loading keeps its type."""

    def __init__(self, make: bytes, folder: str) -> None:
        with contextlib.suppress(OSError):  # paths may be relative to the folder that the run was started in
            os.chdir(folder)
        self._make = make
        self._made: tuple[Any] | None = None

    def here(self) -> None:
        """Answer: the actor has its place."""

    def call(self, work: bytes, unit: bytes) -> tuple[Any, bytes | None]:
        """``work(made, unit)`` and ``None``; or ``None`` and an error of :func:`packed_error`."""
        try:
            if self._made is None:
                self._made = (pickle.loads(self._make)(),)
            return pickle.loads(work)(self._made[0], pickle.loads(unit)), None
        except Exception as error:
            return None, packed_error(error)


class RemoteError(Exception):
    """The traceback, as text, of an error that was raised in another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def packed_error(error: Exception) -> bytes:
    """An error as it travels; one that is not of this package becomes an :class:`EngineError`."""
    from ray import cloudpickle

    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if not isinstance(error, AlignEvalError):
        said = str(error).strip().splitlines()
        error = EngineError(f"an actor failed with {': '.join([type(error).__name__, *said[:1]])}")
    try:
        return bytes(cloudpickle.dumps((error, trace)))
    except Exception:  # an error with something in it that cannot travel: any type at all may be raised by it
        return bytes(cloudpickle.dumps((EngineError(error.message, file=error.file, line=error.line), trace)))


def raise_error(packed: bytes) -> None:
    """Raise what :func:`packed_error` has packed."""
    error, trace = pickle.loads(packed)
    raise error from RemoteError(trace)


@ENGINES.register("ray")
class RayEngine(Engine):
    """Works with a pool of Ray actors. A cluster that this process is connected to already is used as it is.

    Args:
        actors: how many; ``None``: as many as there is room for in what is free of the cluster.
        cpus: CPUs of an actor; the model computes with as many threads.
        gpus: GPUs of an actor; a fraction shares one. ``None``: one if a GPU of the cluster is free, else none.
        address: of a running cluster that this machine belongs to (``auto``, ``HOST:PORT``); ``None``: that of
            ``RAY_ADDRESS``, else a cluster of this machine that lives as long as the engine.
    """

    spreads = True

    def __init__(
        self, actors: int | None = None, cpus: float = 1, gpus: float | None = None, address: str | None = None
    ) -> None:
        if (actors is not None and actors < 1) or cpus < 0 or (gpus or 0) < 0 or cpus + (gpus or 0) <= 0:
            raise InputError(
                f"{actors} actors of {cpus} CPUs and {gpus or 0} GPUs",
                remedy="Give at least one actor, and it one CPU or GPU",
            )
        if address is not None and address.startswith("ray://"):
            raise InputError(
                f"{address} is an address of Ray Client: such a cluster does not see the files of this machine",
                remedy="Start the run on a machine of the cluster, with the address auto",
            )
        try:
            import ray
        except ImportError as error:
            raise EngineError(
                f"the engine ray needs the package ray ({error})", remedy="Install it: pip install 'align-eval[ray]'"
            ) from None
        self._ray: Any = ray
        self.actors, self.cpus, self.gpus, self.address = actors, cpus, gpus, address
        self._started = False
        self._pool: tuple[Callable[[], Any], list[Any]] | None = None

    def device(self, asked: str) -> str:
        self._connect()
        if self.gpus is None:
            self.gpus = self._gpus(asked)
        return asked if asked != "auto" else "cuda" if self.gpus else "cpu"

    def map(
        self, make: Callable[[], M], work: Callable[[M, B], R], units: Iterable[B],
        prepare: Callable[[M, B], B] | None = None,
    ) -> Generator[R, None, None]:  # fmt: skip
        # Nothing is prepared: an actor begins with its next unit when it has done one.
        packed = self._packed(work, "this work")
        workers = self._workers(make)
        window = UNITS_PER_ACTOR * len(workers)
        free = deque(workers * 2)  # an actor has one unit at work and one that waits beside it
        running: dict[Any, Any] = {}  # what is under way -> its actor
        due: deque[Any] = deque()  # results not yet taken, in order
        iterator, ended, failed = iter(units), False, None
        try:
            while True:
                while free and len(due) < window and not ended:
                    try:
                        reference = free[0].call.remote(packed, self._packed(next(iterator), "this unit of work"))
                    except StopIteration:
                        ended = True
                    except Exception as error:  # it comes after the results of the units before
                        ended, failed = True, error
                    else:
                        running[reference] = free.popleft()
                        due.append(reference)
                if not due:
                    break
                if due[0] in running:
                    for reference in self._ray.wait(list(running))[0]:
                        free.append(running.pop(reference))
                    continue
                result, raised = self._ray.get(due.popleft())
                if raised is not None:
                    raise_error(raised)
                yield result
        except self._ray.exceptions.RayError as error:
            raise EngineError(f"Ray has failed: {_last_line(error)}", remedy=AGAIN) from error
        finally:
            for reference in running:
                self._ray.cancel(reference)
        if failed is not None:
            raise failed

    def close(self) -> None:
        self._end_workers()
        if self._started:
            self._ray.shutdown()
            self._started = False

    def _workers(self, make: Callable[[], Any]) -> list[Any]:
        """The actors that hold what ``make`` makes: those that are there, or new ones in the place of others."""
        if self._pool is not None and self._pool[0] is make:
            return self._pool[1]
        packed = self._packed(make, "this model or aligner")
        self._end_workers()
        self.device("auto")
        room = self._room()
        # A restart has no limit: a long run may lose many machines. What kills every actor is given up by the retries.
        how = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_restarts": -1, "max_task_retries": RETRIES}
        actor = self._ray.remote(**how)(Worker)
        workers = [actor.remote(packed, os.getcwd()) for _ in range(self.actors or room)]
        self._pool = make, workers
        # Another run may have taken the room meanwhile: Ray would wait for it without end.
        late = self._ray.wait([w.here.remote() for w in workers], num_returns=len(workers), timeout=PLACING)[1]
        if late:
            self._end_workers()
            raise EngineError(
                f"{len(late)} of {len(workers)} actors have not been started within {PLACING} s",
                remedy="Others may have taken their room: run again, or ask for fewer actors",
            )
        return self._pool[1]

    def _end_workers(self) -> None:
        if self._pool is not None and self._ray.is_initialized():
            for worker in self._pool[1]:
                self._ray.kill(worker)
        self._pool = None

    def _packed(self, thing: Any, what: str) -> bytes:
        try:
            return bytes(self._ray.cloudpickle.dumps(thing))
        except Exception as error:  # pickling calls methods of any class, which raise what they like
            raise InputError(f"{what} cannot be sent to other processes ({_last_line(error)})") from error

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        given: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
        if self.address is not None:
            given["address"] = self.address
        elif not os.environ.get("RAY_ADDRESS"):
            given.update(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE)
        try:
            self._ray.init(**given)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise EngineError(
                f"Ray cannot be reached or started: {_last_line(error)}", remedy="Check the address and `ray status`"
            ) from error
        self._started = True

    def _gpus(self, device: str) -> int:
        """GPUs of an actor where none are stated."""
        if device not in ("auto", "cuda"):
            return 0
        there, free = (int(of.get("GPU", 0)) for of in (self._ray.cluster_resources(), self._ray.available_resources()))
        if free or device != "auto":
            return 1
        if there:
            warnings.warn(
                f"all {there} GPUs of the cluster are in use, so that actors compute on CPUs. Run again when one is "
                "free, or pass --device cpu",
                AlignEvalWarning,
                stacklevel=2,
            )
        return 0

    def _room(self) -> int:
        """How many actors there is room for in what is free of the cluster; Ray would wait for more without end."""
        each = {kind: size for kind, size in (("CPU", self.cpus), ("GPU", self.gpus or 0)) if size}

        def fits(resources: dict[str, float]) -> int:
            return min(int(resources.get(kind, 0) // size) for kind, size in each.items())

        there = self._ray.cluster_resources()
        wanted, deadline = self.actors or fits(there), time.monotonic() + SETTLING
        while (room := fits(have := self._ray.available_resources())) < wanted and time.monotonic() < deadline:
            time.sleep(0.1)  # what has just been given back is not free at once
        if room < (self.actors or 1):
            asked = " and ".join(f"{size:g} {kind}" for kind, size in each.items())
            free = " and ".join(f"{have.get(kind, 0):g} of {there.get(kind, 0):g} {kind}" for kind in ("CPU", "GPU"))
            raise EngineError(
                f"the cluster has {free} free: room for {room} actors of {asked}, not for {self.actors or 1}",
                remedy="Ask for fewer actors, or give an actor less",
            )
        return room


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
