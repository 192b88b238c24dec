"""Fixtures shared by all tests: where the published data is, and the offline model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
    from align_eval.models.offline.smollm2 import SMOLLM2_135M

    if SMOLLM2_135M.state() == "absent":
        message = "needs offline:smollm2-135m: run `align-eval models add smollm2-135m` once"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return load_model("offline:smollm2-135m")
