"""What the engine ``ray`` runs on a cluster, called here without one: the gate, the worker, errors that travel."""

from __future__ import annotations

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from align_eval.errors import InputError, NonFiniteError
from align_eval.runs.engines import EngineError, Given
from align_eval.runs.engines._ray_work import Gate, Worker, answer, packed_error, raise_error

pytest.importorskip("ray", reason="needs the package ray: pip install 'align-eval[ray]'")
pa = pytest.importorskip("pyarrow")


def test_the_gate_lets_so_many_through_and_then_one_for_one_taken() -> None:
    async def scenario() -> list[int]:
        gate, entered = Gate(3), []

        async def reader() -> None:
            for number in range(6):
                await gate.enter(number)
                entered.append(number)

        counts = []
        task = asyncio.create_task(reader())
        for taken in (0, 1, 1, 3):
            await gate.taken(taken)
            await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            counts.append(len(entered))
        await task
        return counts

    with ThreadPoolExecutor(1) as thread:  # this one's event loop may be that of a browser test
        assert thread.submit(asyncio.run, scenario()).result() == [3, 4, 4, 6]


def table(*rows: tuple[int, Any]) -> Any:
    """Blocks as the reader sends them; ``...`` is its last row."""
    contents = [None if block is ... else pickle.dumps(block) for _, block in rows]
    numbers = [number for number, _ in rows]
    return pa.table({"number": numbers, "content": pa.array(contents, pa.large_binary()), "error": [None] * len(rows)})


def root(made: float, block: float) -> float:
    if block < 0:
        raise NonFiniteError(f"the root of {block}")
    return made * block**0.5


def rows_of(worker: Worker, *rows: tuple[int, Any]) -> list[dict[str, Any]]:
    return [row for one in worker(table(*rows)) for row in one.to_pylist()]


def test_a_worker_gives_a_row_a_block(tmp_path: Path) -> None:
    rows = rows_of(Worker(pickle.dumps((Given(2), root)), str(tmp_path)), (4, 9.0), (5, -1.0), (6, ...))
    assert [row["number"] for row in rows] == [4, 5, 6]
    assert pickle.loads(rows[0]["content"]) == 6
    assert rows[1]["content"] is None
    with pytest.raises(NonFiniteError, match=r"the root of -1\.0"):
        raise_error(rows[1]["error"])
    assert (rows[2]["content"], rows[2]["error"]) == (None, None)


def refuse() -> float:
    raise InputError("no model", file="here", line=3, remedy="Make one")


def test_what_cannot_be_made_is_told_with_the_first_block(tmp_path: Path) -> None:
    rows = rows_of(Worker(pickle.dumps((refuse, root)), str(tmp_path)), (0, 1.0), (1, ...))
    with pytest.raises(InputError, match=r"^here:3: no model\. Make one$") as caught:
        raise_error(rows[0]["error"])
    assert (caught.value.file, caught.value.line) == ("here", 3)
    assert rows[1]["error"] is None  # the end of the input is no error
    found, error = answer(pickle.dumps((refuse, root)), str(tmp_path))
    assert found is None
    with pytest.raises(InputError, match="no model"):
        raise_error(error or b"")


def test_other_errors_become_an_error_of_the_engine_with_their_traceback() -> None:
    try:
        root("a", 2.0)  # type: ignore[arg-type]
    except TypeError as error:
        packed = packed_error(error)
    with pytest.raises(EngineError, match=r"^an actor failed with TypeError: can.t multiply") as caught:
        raise_error(packed)
    assert "in root" in str(caught.value.__cause__)


class Local(InputError):
    """An error with something in it that cannot be sent."""

    def __reduce__(self) -> Any:
        raise TypeError("not me")


def test_an_error_that_cannot_travel_keeps_its_words() -> None:
    with pytest.raises(EngineError, match=r"^a:2: odd$"):
        raise_error(packed_error(Local("odd", file="a", line=2)))
