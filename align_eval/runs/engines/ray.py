"""The engine ``ray``: blocks go through Ray Data to actors, each with one model, on one machine or many.

One task reads the blocks (on the machine that the run was started on, so that only there the input must exist); actors
that hold a model work on them; this process takes the results in order. The holders answer questions and stay for all
that is done with the same model, so that each loads it once; couriers, which are Ray Data's actors, take blocks to
them. A gate holds the reader back when the actors cannot follow or the results are not taken. Ray starts a new actor
for one that died and gives it the block that was lost.
"""

from __future__ import annotations

import logging
import os
import pickle
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Any

from align_eval.errors import AlignEvalWarning, InputError
from align_eval.runs.engines._ray_work import AGAIN, Courier, Gate, Holder, raise_error, read, short
from align_eval.runs.engines.base import ENGINES, B, Engine, EngineError, M, R

# Shared memory of a cluster that this process starts: a block and its lines take well under 1 MiB.
OBJECT_STORE = 1 << 29
# Blocks under way for each actor: one at work, one waiting beside it, and two being read, taken or out of turn.
BLOCKS_PER_ACTOR = 4
# Seconds to wait for what ended actors give back.
SETTLING = 3.0


@ENGINES.register("ray")
class RayEngine(Engine):
    """Works with a pool of Ray actors.

    A cluster that this process is connected to already is used as it is.

    Args:
        actors: how many; ``None``: as many as there is room for in what is free of the cluster.
        cpus: CPUs of an actor; the model computes with as many threads.
        gpus: GPUs of an actor; a fraction shares one. ``None``: one if a GPU of the cluster is free, else none.
        address: of a running cluster that this machine belongs to (``auto``, ``HOST:PORT``); ``None``: that of
            ``RAY_ADDRESS``, else a cluster of this machine that lives as long as the engine.
        retries: how often a block is tried again whose actor died.
        window: blocks between the reader and the process that takes the results; default four an actor. More let actors
            go on while one is slow with an early block.

    Raises:
        InputError: an actor without CPU and GPU, a window of no block, an address of Ray Client.
        EngineError: the package ray is missing.
    """

    spreads = True

    def __init__(
        self,
        actors: int | None = None,
        cpus: float = 1,
        gpus: float | None = None,
        address: str | None = None,
        retries: int = 3,
        window: int | None = None,
    ) -> None:
        if (actors is not None and actors < 1) or cpus < 0 or (gpus or 0) < 0 or cpus + (gpus or 0) <= 0:
            raise InputError(
                f"{actors} actors of {cpus} CPUs and {gpus or 0} GPUs",
                remedy="Give at least one actor, and it one CPU or GPU",
            )
        if retries < 0 or (window is not None and window < 1):
            raise InputError(f"{retries} retries, {window} blocks under way", remedy="Give no fewer than 0 and 1")
        if address is not None and address.startswith("ray://"):
            raise InputError(
                f"{address} is an address of Ray Client: such a cluster does not see the files of this machine",
                remedy="Start the run on a machine of the cluster, with the address auto",
            )
        self._ray = _package()
        self.actors, self.address, self.retries, self.window = actors, address, retries, window
        self.cpus, self.gpus = cpus, gpus
        self._started = False
        self._held: tuple[Callable[[], Any], list[Any]] | None = None

    def device(self, asked: str) -> str:
        self._connect()
        if self.gpus is None:
            self.gpus = self._gpus(asked)
        if asked == "auto":
            return "cuda" if self.gpus else "cpu"
        return asked

    def ask(self, make: Callable[[], M], question: Callable[[M], R]) -> R:
        packed = self._packed(question, "this question")
        holder = self._holders(make)[0]
        try:
            found, error = self._ray.get(holder.call.remote(packed))
        except self._ray.exceptions.RayError as failed:
            raise EngineError(f"Ray has failed: {short(failed)}", remedy="See Ray's logs") from failed
        if error is not None:
            raise_error(error)
        result: R = pickle.loads(found)
        return result

    def map(
        self,
        make: Callable[[], M],
        work: Callable[[M, B], R],
        blocks: Iterable[B],
        ready: Callable[[M, B], B] | None = None,
    ) -> Generator[R, None, None]:
        # Nothing is made ready: an actor begins with its next block when it has done one.
        packed = self._packed(work, "this work")
        source = self._packed(blocks, "what is read", "Give the input in files, not as a stream")
        return self._results(make, packed, source)

    def close(self) -> None:
        self._let_go()
        if self._started:
            self._ray.shutdown()
            self._started = False

    def _holders(self, make: Callable[[], Any]) -> list[Any]:
        """The actors that hold what ``make`` makes: those that are there, or new ones in the place of others."""
        packed = self._packed(make, "this model or aligner")
        if self._held is not None and self._held[0] is make:
            return self._held[1]
        self._let_go()
        self._connect()
        if self.gpus is None:
            self.gpus = self._gpus("auto")
        room = self._room()
        # A restart has no limit: a long run may lose many machines. What kills every actor is given up by the retries.
        holder = self._ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=-1, max_task_retries=self.retries
        )(Holder)
        self._held = make, [holder.remote(packed, os.getcwd()) for _ in range(self.actors or room)]
        return self._held[1]

    def _let_go(self) -> None:
        """End the actors that hold a model."""
        if self._held is None:
            return
        holders, self._held = self._held[1], None
        if not self._ray.is_initialized():
            return
        for holder in holders:
            self._ray.kill(holder)

    def _results(self, make: Callable[[], Any], work: bytes, source: bytes) -> Generator[Any, None, None]:
        holders = self._holders(make)
        here = {"ray.io/node-id": self._ray.get_runtime_context().get_node_id()}
        window = self.window or BLOCKS_PER_ACTOR * len(holders)
        gate = self._ray.remote(num_cpus=0, label_selector=here)(Gate).remote(window)
        rows = _rows(self._dataset(work, source, gate, holders, here))
        taken, ended = 0, False
        try:
            for row in rows:
                if row["error"] is not None:
                    raise_error(row["error"])
                if row["number"] != taken or ended:
                    raise EngineError(f"Ray gave block {row['number']} where {taken} was due", remedy=AGAIN)
                if row["content"] is None:
                    ended = True
                    continue
                yield pickle.loads(row["content"])
                taken += 1
                gate.taken.remote(taken)
            if not ended:
                raise EngineError(f"Ray gave no more after block {taken}, which is not the last", remedy=AGAIN)
        except (self._ray.exceptions.RayError, self._ray.data.exceptions.SystemException) as error:
            raise EngineError(f"Ray has failed: {short(error)}", remedy=AGAIN) from error
        finally:
            self._ray.kill(gate)  # the reader, if it still waits, ends too
            rows.close()

    def _packed(self, thing: Any, what: str, remedy: str | None = None) -> bytes:
        try:
            return bytes(self._ray.cloudpickle.dumps(thing))
        except Exception as error:  # pickling calls methods of any class, which raise what they like
            raise InputError(f"{what} cannot be sent to other processes ({short(error)})", remedy=remedy) from error

    def _connect(self) -> None:
        """Connect to the cluster, or start one."""
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
                f"Ray cannot be reached or started: {short(error)}", remedy="Check the address and `ray status`"
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
        """How many actors there is room for in what is free of the cluster.

        Raises:
            EngineError: none, or fewer than were asked for: Ray would wait for it without end.
        """
        each = {"CPU": self.cpus, "GPU": self.gpus or 0}
        deadline = time.monotonic() + SETTLING
        while True:  # what has just been given back is not free at once
            have = self._ray.available_resources()
            room = min(int(have.get(kind, 0) // size) for kind, size in each.items() if size)
            if room >= (self.actors or self._possible(each)) or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if room < (self.actors or 1):
            asked = " and ".join(f"{size:g} {kind}" for kind, size in each.items() if size)
            there = self._ray.cluster_resources()
            told = " and ".join(f"{have.get(kind, 0):g} of {there.get(kind, 0):g} {kind}" for kind in each)
            raise EngineError(
                f"the cluster has {told} free: room for {room} actors of {asked}, not for {self.actors or 1}",
                remedy="Ask for fewer actors, or give an actor less",
            )
        return room

    def _possible(self, each: dict[str, float]) -> int:
        """How many actors there would be room for if nothing else ran."""
        there = self._ray.cluster_resources()
        return min(int(there.get(kind, 0) // size) for kind, size in each.items() if size)

    def _dataset(self, work: bytes, source: bytes, gate: Any, holders: list[Any], here: dict[str, str]) -> Any:
        """The plan: read blocks in one task, work on them in actors, keep their order."""
        data, folder = self._ray.data, os.getcwd()
        context = data.DataContext.get_current().copy()
        context.target_max_block_size = 1  # byte: every block travels alone
        context.enable_progress_bars = context.print_on_execution_start = False
        context.execution_options.preserve_order = True
        context.max_consecutive_actor_init_deaths = self.retries  # a process can die while it loads its model, too
        context.execution_no_progress_timeout_s = -1  # a block may take an hour, and whoever takes results may wait
        with data.DataContext.current(context):
            # A reader without a CPU of its own: it must run beside actors that have taken all.
            blocks = data.from_items([{"begin": 0}]).map_batches(
                partial(read, source, folder, gate),
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=0,
                label_selector=here,
            )
            return blocks.map_batches(
                Courier,
                fn_constructor_args=(work, holders, gate),
                batch_size=None,
                batch_format="pyarrow",
                compute=data.ActorPoolStrategy(size=len(holders), max_tasks_in_flight_per_actor=2),
                num_cpus=0,
                max_restarts=-1,
                max_task_retries=self.retries,
            )


def _package() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EngineError(
            f"the engine ray needs the package ray[data] ({error})", remedy="Install it: pip install 'align-eval[ray]'"
        ) from None
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # it warns that it shows no bars
    # Fewer blocks than actors are no reason to warn.
    warnings.filterwarnings("ignore", "The minimum number of concurrent actors", module="ray")
    # Restarts and retries of actors have no other name up to Ray 2.63, the last that pyproject.toml allows.
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
    return ray


def _rows(dataset: Any) -> Generator[dict[str, Any], None, None]:
    """The rows of a data set as they come, none read ahead: the gate counts those that are taken."""
    batches: Iterator[Any] = iter(dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
    try:
        for batch in batches:
            yield from batch.to_pylist()
    finally:
        if close := getattr(batches, "close", None):  # it is a generator, though Ray does not promise more than iterate
            close()
