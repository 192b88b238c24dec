"""What the engine ``ray`` runs on the cluster: the reader, the gate that holds it back, couriers and holders.

Blocks and results travel as rows of Arrow tables, pickled: one row a block, ``number`` from 0. Errors travel as rows
too, so that they keep their type, and come in their place: after the results of all blocks before. The last row has
neither a block nor an error: it says that nothing is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from align_eval.errors import AlignEvalError
from align_eval.runs.engines.base import EngineError

if TYPE_CHECKING:
    import pyarrow as pa

AGAIN = "Run the same command again: align goes on where it stopped"


class Gate:
    """An actor that lets the reader take the next block only while few are under way.

    Ray Data bounds what waits by its bytes in the object store, which are thousands of blocks of text. Here at most
    ``window`` blocks are between the reader and the process that takes the results, whatever they hold.
    """

    def __init__(self, window: int) -> None:
        self._window, self._taken, self._claimed = window, 0, 0
        self._changed = asyncio.Condition()

    async def enter(self, number: int) -> None:
        """Return once block ``number`` may be read."""
        async with self._changed:
            await self._changed.wait_for(lambda: number < self._taken + self._window)

    async def taken(self, count: int) -> None:
        """So many results have been taken in all."""
        async with self._changed:
            self._taken = max(self._taken, count)
            self._changed.notify_all()

    async def claim(self) -> int:
        """Another number at each call, from 0."""
        self._claimed += 1
        return self._claimed - 1


class Far(Exception):
    """Where an error comes from that was raised in another process: its traceback, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def packed_error(error: Exception) -> bytes:
    """An error as it travels; one that is not of this package becomes an :class:`EngineError`."""
    from ray import cloudpickle

    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if not isinstance(error, AlignEvalError):
        told = str(error).strip().splitlines()
        error = EngineError(
            f"an actor failed with {type(error).__name__}{': ' if told else ''}{told[0] if told else ''}"
        )
    try:
        return bytes(cloudpickle.dumps((error, trace)))
    except Exception:  # an error with something in it that cannot travel: any type at all may be raised by it
        return bytes(cloudpickle.dumps((EngineError(error.message, file=error.file, line=error.line), trace)))


def raise_error(packed: bytes) -> None:
    """Raise what :func:`packed_error` has packed."""
    error, trace = pickle.loads(packed)
    raise error from Far(trace)


def go_to(folder: str) -> None:
    """Stand in the folder that the run was started in, if it is there: paths may be relative to it."""
    with contextlib.suppress(OSError):
        os.chdir(folder)


def read(packed: bytes, folder: str, gate: Any, _: Any) -> Iterator[pa.Table]:
    """A task: yield one table of one row a block, no more than the gate lets through."""
    import ray

    number = 0
    try:
        go_to(folder)
        blocks = iter(pickle.loads(packed))
        while True:
            ray.get(gate.enter.remote(number))
            block = next(blocks, _END)
            if block is _END:
                break
            yield _table(number, pickle.dumps(block, 5))
            number += 1
    except ray.exceptions.RayActorError:
        return  # the gate is gone: nobody takes results any more
    except Exception as error:
        yield _table(number, error=packed_error(error))
    else:
        yield _table(number)


_END = object()


class Holder:
    """An actor: it holds what ``make`` makes, for all questions and all blocks of a run."""

    def __init__(self, packed: bytes, folder: str) -> None:
        self._failed: bytes | None = None
        try:
            go_to(folder)
            self._made = pickle.loads(packed)()
        except Exception as error:
            self._failed = packed_error(error)

    def call(self, function: bytes, *arguments: bytes) -> tuple[bytes | None, bytes | None]:
        """``function(made, *arguments)``, all of it packed; or an error."""
        if self._failed is not None:
            return None, self._failed
        try:
            return pickle.dumps(pickle.loads(function)(self._made, *map(pickle.loads, arguments)), 5), None
        except Exception as error:
            return None, packed_error(error)


class Courier:
    """An actor of Ray Data: it takes blocks to one of the holders. It needs no resources: it waits."""

    def __init__(self, work: bytes, holders: list[Any], gate: Any) -> None:
        import ray

        self._work = work
        self._holder = holders[ray.get(gate.claim.remote()) % len(holders)]

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Blocks in (as :func:`read` gives them), results out."""
        for row in table.to_pylist():
            yield self._one(row["number"], row["content"], row["error"])

    def _one(self, number: int, content: bytes | None, error: bytes | None) -> pa.Table:
        import ray

        if content is None:
            return _table(number, error=error)
        try:
            return _table(number, *ray.get(self._holder.call.remote(self._work, content)))
        except ray.exceptions.RayError as failed:
            return _table(number, error=packed_error(EngineError(f"Ray has failed: {short(failed)}", remedy=AGAIN)))


def short(error: BaseException) -> str:
    """The last line of what an error says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _table(number: int, content: bytes | None = None, error: bytes | None = None) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema({"number": pa.int64(), "content": pa.large_binary(), "error": pa.binary()})
    return pa.Table.from_pylist([{"number": number, "content": content, "error": error}], schema=schema)
