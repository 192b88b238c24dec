"""Names of the model hub and local folders: which of them a name is, what is cached, and errors in plain words."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from align_eval.errors import AlignEvalError, MissingFileError, ModelError, nearest_names
from align_eval.files import sha256_of
from align_eval.models.provider import MODELS, PREFIX


def local_folder(name: str) -> Path | None:
    """The folder that ``name`` means, or ``None`` if it is a name of the model hub (``owner/model`` or ``model``).

    Raises:
        MissingFileError: ``name`` can only be a path, and no such folder exists, or it holds no model.
    """
    path = Path(name).expanduser()
    if name and path.is_dir():
        if not (path / "config.json").is_file():
            raise MissingFileError("the folder holds no config.json", file=path, remedy="Name a folder with a model")
        return path
    if name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name or not name or path.exists():
        raise MissingFileError(
            "no such model folder", file=name, remedy="Check the path; `align-eval models list` lists offline models"
        )
    return None


def hub_options(name: str, revision: str | None, trust_remote_code: bool) -> dict[str, Any]:
    """Options for ``from_pretrained`` of a hub model.

    A model whose weights are in the hub's cache is taken from there, so that it stays the same and needs no network.

    Raises:
        ModelError: it is not in the cache and there is no network.
    """
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if revision is not None:
        options["revision"] = revision
    with quiet():
        cached = hub_folder(name, local_files_only=True, **({} if revision is None else {"revision": revision}))
    if cached is not None and any(cached.glob("*.safetensors")):
        options["local_files_only"] = True
    else:
        _require_network(name)
    return options


def _require_network(name: str) -> None:
    """Look the hub's host up: quicker than the retries of the client. With a proxy, or told to be offline, leave it."""
    import socket
    import urllib.parse
    import urllib.request

    from huggingface_hub import constants

    host = urllib.parse.urlsplit(constants.ENDPOINT).hostname
    if host is None or constants.HF_HUB_OFFLINE or urllib.request.getproxies():
        return
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        near = nearest_names(name, MODELS.names())
        hint = f"Did you mean {PREFIX}{near[0]}?" if near else "`align-eval models list` lists models that need none"
        raise ModelError(
            f"{name} is neither a folder nor in the hub's cache, and there is no network to fetch it", remedy=hint
        ) from None


def hub_folder(name: str, **options: Any) -> Path | None:
    """The folder in the hub's cache that holds a model's files, or ``None``."""
    from transformers.utils import cached_file

    try:
        found = cached_file(name, "config.json", **options)
    except (OSError, ValueError):
        return None
    return None if found is None else Path(found).parent


def revision_of(config: Any, folder: Path | None) -> str:
    """What identifies the weights: the hub's commit, or for a folder 12 hex digits over the sha256 of its weights."""
    commit = getattr(config, "_commit_hash", None)
    if commit:
        return str(commit)
    if folder is None:
        return "unknown"
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()[:12]


def licence_of(folder: Path | None) -> str:
    """The licence that the head of a model's README states (``license: ...``), or ``"unknown"``."""
    readme = None if folder is None else folder / "README.md"
    if readme is None or not readme.is_file():
        return "unknown"
    head = readme.read_text("utf-8", errors="replace").split("\n---", 1)[0]
    stated = re.search(r"^license:\s*[\"']?([^\s\"']+)", head, re.MULTILINE)
    return stated[1] if stated else "unknown"


@contextlib.contextmanager
def loading_errors(name: str) -> Iterator[None]:
    """Turn whatever ``transformers`` raises for a model that cannot be loaded into a :class:`ModelError` with a remedy.

    Its libraries raise OSError, ValueError, ImportError, KeyError, bare Exceptions and more for broken files.
    """
    try:
        yield
    except (AlignEvalError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        near = nearest_names(name, MODELS.names())
        if "trust_remote_code" in text:
            remedy = "Pass --trust-remote-code if you trust its authors"
        elif isinstance(error, ImportError):
            remedy = "Install the package that it names"
        elif isinstance(error, OSError) and "safetensors" in text:
            remedy = "Only safetensors weights are read: convert the model to safetensors"
        elif near:
            remedy = f"Did you mean {PREFIX}{near[0]}?"
        else:
            remedy = "Check the name, its files and the network; `align-eval models list` lists models that need none"
        raise ModelError(f"{name} cannot be loaded: {text[:300].rstrip('.')}", remedy=remedy) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and notes of ``transformers`` while a model loads; missing weights are checked by us."""
    import logging as standard

    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    client = standard.getLogger("huggingface_hub")
    client_level = client.level
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    client.setLevel(standard.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        client.setLevel(client_level)
        if bars:
            logging.enable_progress_bar()
