"""What the engine ``ray`` runs on a cluster, called here without one: the worker, errors that travel."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from align_eval.errors import InputError, NonFiniteError
from align_eval.runs.engines import EngineError
from align_eval.runs.engines.ray import Worker, packed_error, raise_error

pytest.importorskip("ray", reason="needs the package ray: pip install 'align-eval[ray]'")


def root(made: float, block: float) -> float:
    if block < 0:
        raise NonFiniteError(f"the root of {block}")
    return made * block**0.5


def called(worker: Worker, function: Any, unit: Any = None) -> Any:
    """The answer of a worker, or the error that it packed."""
    found, error = worker.call(pickle.dumps(function), pickle.dumps(unit))
    if error is not None:
        assert found is None
        raise_error(error)
    assert found is not None
    return found


def test_a_worker_makes_once_and_answers(tmp_path: Path) -> None:
    worker = Worker(pickle.dumps(partial(noted, tmp_path / "made")), str(tmp_path))
    assert [called(worker, root, 9.0), called(worker, root, 4.0), called(worker, root, 16.0)] == [6, 4, 8]
    with pytest.raises(NonFiniteError, match=r"the root of -1\.0"):
        called(worker, root, -1.0)
    assert called(worker, root, 1.0) == 2
    assert (tmp_path / "made").read_text() == "x"


def noted(path: Path) -> float:
    with path.open("a") as stream:
        stream.write("x")
    return 2.0


def refuse() -> float:
    raise InputError("no model", file="here", line=3, remedy="Make one")


def test_what_cannot_be_made_is_told_by_every_call(tmp_path: Path) -> None:
    worker = Worker(pickle.dumps(refuse), str(tmp_path))
    for block in (1.0, -1.0):
        with pytest.raises(InputError, match=r"^here:3: no model\. Make one$") as caught:
            called(worker, root, block)
        assert (caught.value.file, caught.value.line) == ("here", 3)


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
