"""The engine ``ray``: blocks go through Ray Data to a pool of actors, each with one model, on one machine or many.

One task reads the pairs (on the machine that the run was started on, so that only there the input must exist) and
yields blocks; actors align them; this process takes the lines in order and writes them, as it does with the engine
``local``. Ray Data holds the reader back when the actors cannot follow, and the actors when the lines are not taken; it
starts a new actor for one that died and gives it the blocks that were lost.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from align_eval.errors import AlignEvalError, InputError
from align_eval.runs.blocks import Cut, line_format
from align_eval.runs.engines.base import (
    ENGINES,
    AlignerOrMaker,
    Engine,
    EngineError,
    Facts,
    facts_of,
    made,
    only_system,
)

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

# Shared memory of a cluster that this process starts: a block and its lines take well under 1 MiB.
OBJECT_STORE = 1 << 29
AGAIN = "Run the same command again: it goes on where it stopped"


@ENGINES.register("ray")
class RayEngine(Engine):
    """Aligns with a pool of Ray actors.

    A cluster that this process is connected to already is used as it is.

    Args:
        actors: how many; ``None``: as many as the cluster has room for.
        cpus: CPUs of an actor; the model computes with as many threads.
        gpus: GPUs of an actor; a fraction shares one.
        address: of a running cluster (``auto``, ``HOST:PORT``, ``ray://HOST:PORT``); ``None``: that of
            ``RAY_ADDRESS``, else a cluster of this machine that lives as long as the engine.
        retries: how often a block is tried again whose actor died.

    Raises:
        EngineError: the package ray is missing.
    """

    def __init__(
        self,
        actors: int | None = None,
        cpus: float = 1,
        gpus: float = 0,
        address: str | None = None,
        retries: int = 3,
    ) -> None:
        if (actors is not None and actors < 1) or cpus < 0 or gpus < 0 or cpus + gpus <= 0:
            raise InputError(
                f"{actors} actors of {cpus} CPUs and {gpus} GPUs",
                remedy="Give at least one actor, and it one CPU or GPU",
            )
        self._ray = _package()
        self.actors, self.address, self.retries = actors, address, retries
        self.resources = {"num_cpus": cpus, "num_gpus": gpus}
        self._started = False

    def facts(self, aligner: AlignerOrMaker) -> Facts:
        self._connect()
        self._room()
        try:
            found = self._ray.get(self._ray.remote(**self.resources)(_facts).remote(aligner))
        except self._ray.exceptions.RayError as error:
            raise EngineError(f"Ray could not make the aligner: {_short(error)}", remedy="See Ray's logs") from error
        if isinstance(found, AlignEvalError):
            raise found
        if found.whole_corpus:
            raise InputError(
                "this method is trained on all pairs together, which cannot be spread over actors",
                remedy="Use the engine local",
            )
        return found

    def lines(
        self, aligner: AlignerOrMaker, pairs: Iterable[SentencePair], cut: Cut, done: int, format: str
    ) -> Iterator[list[str]]:
        line_format(format)
        self._connect()
        try:
            self._ray.cloudpickle.dumps(pairs)
        except (TypeError, pickle.PicklingError) as error:
            raise InputError(
                "these sentence pairs cannot be read by another process", remedy="Give them in files, not as a stream"
            ) from error
        dataset = self._dataset(aligner, pairs, cut, done, format)
        try:
            for expected, row in enumerate(_rows(dataset)):
                if row["error"] is not None:
                    raise pickle.loads(row["error"])
                if row["number"] != expected:
                    raise EngineError(f"Ray gave block {row['number']} where {expected} was due", remedy=AGAIN)
                yield row["lines"]
        except self._ray.exceptions.RayError as error:
            raise EngineError(f"Ray has failed: {_short(error)}", remedy=AGAIN) from error

    def close(self) -> None:
        if self._started:
            self._ray.shutdown()
            self._started = False

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
            EngineError: none; Ray would wait for it without end.
        """
        have = self._ray.cluster_resources()
        room = min(
            int(have.get(kind, 0) // self.resources[key])
            for kind, key in (("CPU", "num_cpus"), ("GPU", "num_gpus"))
            if self.resources[key]
        )
        if room < 1:
            raise EngineError(
                f"the cluster has {have.get('CPU', 0):g} CPUs and {have.get('GPU', 0):g} GPUs: no room for one actor",
                remedy="Give an actor less (cpus, gpus)",
            )
        return room

    def _dataset(self, aligner: AlignerOrMaker, pairs: Iterable[SentencePair], cut: Cut, done: int, format: str) -> Any:
        """The plan: read blocks in one task, align them in actors, keep their order."""
        data = self._ray.data
        context = data.DataContext.get_current()
        here = {"ray.io/node-id": self._ray.get_runtime_context().get_node_id()}
        changed = {"target_max_block_size": 1, "enable_progress_bars": False}  # 1 byte: every block travels alone
        before = {name: getattr(context, name) for name in changed}
        order = context.execution_options.preserve_order
        try:
            for name, value in changed.items():
                setattr(context, name, value)
            context.execution_options.preserve_order = True
            # A reader without a CPU of its own: it must run beside actors that have taken all.
            read = data.from_items([{"start": done}]).map_batches(
                partial(_read, pairs, cut),
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=0,
                label_selector=here,
            )
            return read.map_batches(
                _Worker,
                fn_constructor_args=(aligner, format),
                batch_size=None,
                batch_format="pyarrow",
                compute=data.ActorPoolStrategy(size=self.actors or self._room()),
                max_restarts=-1,
                max_task_retries=self.retries,
                **self.resources,
            )
        finally:
            for name, value in before.items():
                setattr(context, name, value)
            context.execution_options.preserve_order = order


def _package() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EngineError(
            f"the engine ray needs the package ray[data] ({error})", remedy="Install it: pip install 'align-eval[ray]'"
        ) from None
    return ray


def _facts(aligner: AlignerOrMaker) -> Facts | AlignEvalError:
    try:
        return facts_of(made(aligner))
    except AlignEvalError as error:
        return error


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _rows(dataset: Any) -> Iterator[dict[str, Any]]:
    """The rows of a data set as they come."""
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from batch.to_pylist()


def _read(pairs: Iterable[SentencePair], cut: Cut, start: Any) -> Iterator[Any]:
    """Yield one table of one row a block: its number from 0 and its pairs, or an error. ``start`` says where."""
    import pyarrow as pa

    schema = pa.schema({"number": pa.int64(), "pairs": pa.large_binary(), "error": pa.binary()})
    number = 0
    try:
        for part in cut.blocks(pairs, start["start"][0].as_py()):
            packed = pickle.dumps([(pair.id, pair.source, pair.target) for pair in part], 5)
            yield pa.Table.from_pylist([{"number": number, "pairs": packed}], schema=schema)
            number += 1
    except AlignEvalError as error:
        yield pa.Table.from_pylist([{"number": number, "error": pickle.dumps(error)}], schema=schema)


class _Worker:
    """An actor: it holds one aligner."""

    def __init__(self, aligner: AlignerOrMaker, format: str) -> None:
        self._aligner = made(aligner)
        self._system = only_system(self._aligner)
        self._to_line = line_format(format)

    def __call__(self, blocks: Any) -> Any:
        """Blocks in (as :func:`_read` gives them), lines out. Errors travel as data, so that they keep their type."""
        import pyarrow as pa

        schema = pa.schema({"number": pa.int64(), "lines": pa.large_list(pa.large_string()), "error": pa.binary()})
        return pa.Table.from_pylist([self._row(row) for row in blocks.to_pylist()], schema=schema)

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        from align_eval.corpora import SentencePair

        if row["error"] is not None:
            return {"number": row["number"], "error": row["error"]}
        pairs = [SentencePair(*one) for one in pickle.loads(row["pairs"])]
        try:
            links = self._aligner.align_all(pairs)[self._system]
        except AlignEvalError as error:
            return {"number": row["number"], "error": pickle.dumps(error)}
        return {"number": row["number"], "lines": list(map(self._to_line, pairs, links))}
