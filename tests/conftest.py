"""Fixtures shared by all tests: where the published data is, and the offline model."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUNS_A_MODEL = {"transformers", "load_model", "from_pretrained", "make_aligner", "run_demo"}
"""A test runs a model if one of these stands in it, in a fixture of it or in a function of tests that it calls."""

SLOW = (
    "aligners/test_statistical.py", "cli/test_bad_input.py::test_one_line", "cli/test_own_data.py",
    "cli/test_process.py", "cli/test_remedies.py", "cli/test_testsets.py::test_check_all",
    "corpora/test_bitext_formats.py::TestEveryFormat", "corpora/test_link_properties.py",
    "corpora/test_links_published.py", "corpora/test_testsets.py::test_index_bases", "extraction/test_methods.py",
    "figures/", "models/test_compiled_blocks.py", "native/test_links.py",
    "patterns/test_detector.py", "runs/test_align_file.py::test_killed", "runs/test_pair_figures.py",
    "runs/test_plain.py", "runs/test_selection.py", "runs/test_shards.py::test_killed",
    "runs/test_shards.py::test_memory", "test_processes.py", "test_statistics.py",
)  # fmt: skip
"""What takes seconds: figures that are drawn, processes that are started, large or random input."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark ``model`` what runs a model, of random weights too, and ``slow`` what takes seconds without one."""
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        fixtures = getattr(item, "_fixtureinfo", None)
        functions = [getattr(item, "function", None)]
        functions += [found.func for each in getattr(fixtures, "name2fixturedefs", {}).values() for found in each]
        if any(map(_runs_a_model, functions)):
            item.add_marker(pytest.mark.model)


@functools.cache
def _runs_a_model(function: Any) -> bool:
    """Whether a function of tests, or one that it calls, names what runs a model."""
    seen: set[int] = set()
    waiting = [function]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or not str(getattr(thing, "__module__", "")).startswith("tests."):
            continue
        seen.add(id(thing))
        if isinstance(thing, type):
            waiting += vars(thing).values()
            continue
        thing = getattr(getattr(thing, "hypothesis", None), "inner_test", getattr(thing, "__wrapped__", thing))
        if not hasattr(thing, "__code__"):
            continue
        names = _names(thing.__code__)
        if names & RUNS_A_MODEL:
            return True
        modules = [sys.modules.get(name) for name in names if name.startswith("tests.")]
        modules += [each for name in names if isinstance(each := thing.__globals__.get(name), ModuleType)]
        places = [thing.__globals__, *(vars(module) for module in modules if module is not None)]
        waiting += [place[name] for place in places for name in names if name in place]
    return False


def _names(code: CodeType) -> set[str]:
    """All names in compiled code and in the functions defined within it."""
    within = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return {*code.co_names, *code.co_freevars}.union(*within)


def _shared(folder: Path | None, what: str) -> Path:
    if folder is not None and folder.is_dir():
        return folder
    message = f"needs {what}{f' in {folder}' if folder else ''}: set ALIGN_EVAL_DATA to the folder of the gold sets"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session", autouse=True)
def _no_registry_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Test sets that whoever runs the tests has added do not count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def gold_folder() -> Path:
    """The folder of the published gold sets."""
    named = os.environ.get("ALIGN_EVAL_DATA")
    return _shared(Path(named) if named else None, "the published gold sets")


@pytest.fixture(scope="session")
def oracle_folder(gold_folder: Path) -> Path:
    """The folder of published system outputs with published scores, beside the gold sets."""
    return _shared(gold_folder.parent / "oracles", "the published system outputs")


@pytest.fixture(scope="session")
def compiled() -> Any:
    """The compiled functions of scoring."""
    from align_eval.native import library

    found = library()
    if found is None:
        message = "needs the compiled functions: run `python -m align_eval.native` once (a C compiler)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="session")
def e5() -> Any:
    """The offline multilingual encoder, loaded once a session."""
    from align_eval.models import load_model

    return load_model("offline:e5-small")


@pytest.fixture(scope="session")
def smollm2() -> Any:
    """The offline decoder-only model, loaded once a session."""
    from align_eval.models import load_model
    from align_eval.models.offline import SMOLLM2_135M

    if SMOLLM2_135M.state() == "absent":
        message = "needs offline:smollm2-135m: run `align-eval models add smollm2-135m` once"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return load_model("offline:smollm2-135m")
