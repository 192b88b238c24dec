"""The engine ``ray``: blocks go through Ray Data to a pool of actors, each with one model, on one machine or many.

One task reads the blocks (on the machine that the run was started on, so that only there the input must exist); actors
work on them; this process takes the results in order. A gate holds the reader back when the actors cannot follow or the
results are not taken. Ray Data starts a new actor for one that died and gives it the blocks that were lost.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Any

from align_eval.errors import InputError
from align_eval.runs.engines._ray_work import Gate, Worker, answer, raise_error, read
from align_eval.runs.engines.base import ENGINES, B, Engine, EngineError, M, R

# Shared memory of a cluster that this process starts: a block and its lines take well under 1 MiB.
OBJECT_STORE = 1 << 29
# Blocks under way for each actor: one at work, one waiting beside it, and two being read, taken or out of turn.
BLOCKS_PER_ACTOR = 4
AGAIN = "Run the same command again: align goes on where it stopped"


@ENGINES.register("ray")
class RayEngine(Engine):
    """Works with a pool of Ray actors.

    A cluster that this process is connected to already is used as it is.

    Args:
        actors: how many; ``None``: as many as the cluster has room for.
        cpus: CPUs of an actor; the model computes with as many threads.
        gpus: GPUs of an actor; a fraction shares one.
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
        gpus: float = 0,
        address: str | None = None,
        retries: int = 3,
        window: int | None = None,
    ) -> None:
        if (actors is not None and actors < 1) or cpus < 0 or gpus < 0 or cpus + gpus <= 0:
            raise InputError(
                f"{actors} actors of {cpus} CPUs and {gpus} GPUs",
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
        self.resources = {"num_cpus": cpus, "num_gpus": gpus}
        self._started = False

    def ask(self, make: Callable[[], M], question: Callable[[M], R]) -> R:
        packed = self._packed((make, question), "this model or aligner")
        self._connect()
        self._room()
        # One call a process: the next question may be to another model, and this one would keep its memory.
        task = self._ray.remote(max_calls=1, **self.resources)(answer)
        try:
            found, error = self._ray.get(task.remote(packed, os.getcwd()))
        except self._ray.exceptions.RayError as failed:
            raise EngineError(f"Ray has failed: {_short(failed)}", remedy="See Ray's logs") from failed
        if error is not None:
            raise_error(error)
        result: R = found
        return result

    def map(
        self,
        make: Callable[[], M],
        work: Callable[[M, B], R],
        blocks: Iterable[B],
        ready: Callable[[M, B], B] | None = None,
    ) -> Generator[R, None, None]:
        # Nothing is made ready: an actor begins with its next block when it has done one.
        worker = self._packed((make, work), "this model or aligner")
        source = self._packed(blocks, "what is read", "Give the input in files, not as a stream")
        return self._results(worker, source)

    def close(self) -> None:
        if self._started:
            self._ray.shutdown()
            self._started = False

    def _results(self, worker: bytes, source: bytes) -> Generator[Any, None, None]:
        self._connect()
        room = self._room()
        actors = self.actors or room
        here = {"ray.io/node-id": self._ray.get_runtime_context().get_node_id()}
        window = self.window or BLOCKS_PER_ACTOR * actors
        gate = self._ray.remote(num_cpus=0, label_selector=here)(Gate).remote(window)
        rows = _rows(self._dataset(worker, source, gate, actors, here))
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
            raise EngineError(f"Ray has failed: {_short(error)}", remedy=AGAIN) from error
        finally:
            self._ray.kill(gate)  # the reader, if it still waits, ends too
            rows.close()

    def _packed(self, thing: Any, what: str, remedy: str | None = None) -> bytes:
        try:
            return bytes(self._ray.cloudpickle.dumps(thing))
        except Exception as error:  # pickling calls methods of any class, which raise what they like
            raise InputError(f"{what} cannot be sent to other processes ({_short(error)})", remedy=remedy) from error

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
                f"Ray cannot be reached or started: {_short(error)}", remedy="Check the address and `ray status`"
            ) from error
        self._started = True

    def _room(self) -> int:
        """How many actors the cluster has room for.

        Raises:
            EngineError: none, or fewer than were asked for: Ray would wait for it without end.
        """
        have = self._ray.cluster_resources()
        each = {"CPU": self.resources["num_cpus"], "GPU": self.resources["num_gpus"]}
        room = min(int(have.get(kind, 0) // size) for kind, size in each.items() if size)
        if room < (self.actors or 1):
            asked = " and ".join(f"{size:g} {kind}" for kind, size in each.items() if size)
            raise EngineError(
                f"the cluster has {have.get('CPU', 0):g} CPU and {have.get('GPU', 0):g} GPU: room for {room} actors of "
                f"{asked}, not for {self.actors or 1}",
                remedy="Ask for fewer actors, or give an actor less",
            )
        return room

    def _dataset(self, worker: bytes, source: bytes, gate: Any, actors: int, here: dict[str, str]) -> Any:
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
                Worker,
                fn_constructor_args=(worker, folder),
                batch_size=None,
                batch_format="pyarrow",
                compute=data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
                max_restarts=-1,
                max_task_retries=self.retries,
                **self.resources,
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


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _rows(dataset: Any) -> Generator[dict[str, Any], None, None]:
    """The rows of a data set as they come, none read ahead: the gate counts those that are taken."""
    batches: Iterator[Any] = iter(dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
    try:
        for batch in batches:
            yield from batch.to_pylist()
    finally:
        if close := getattr(batches, "close", None):  # it is a generator, though Ray does not promise more than iterate
            close()
