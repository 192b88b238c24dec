"""The folder that a model's name means: a local one, or one in the cache of the model hub, fetched if need be.

A model that lies in the hub's cache whole is taken from there, so that it stays the same and needs no network. What is
not whole is left to ``huggingface_hub``: it keeps what was fetched before, goes on where a download was cut, tries
again, and shows its progress on a terminal. ``transformers`` gets a folder and asks the hub for nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from align_eval.errors import AlignEvalError, MissingFileError, ModelError, OutputError, nearest_names
from align_eval.files import parse_json
from align_eval.models import weights
from align_eval.models.identity import SMALL_FILES
from align_eval.models.loading_errors import client_errors_only, first_sentence
from align_eval.models.provider import MODELS, PREFIX


@dataclass(frozen=True)
class Found:
    """Where a model lies.

    Attributes:
        folder: the files that ``transformers`` loads.
        commit: of the hub, or empty for a local folder.
        card: the folder of its README.
    """

    folder: Path
    commit: str
    card: Path


def find(
    name: str, revision: str | None = None, trust_remote_code: bool = False, *, only_config: bool = False
) -> Found:
    """The folder of a model, fetched from the hub if it is not here.

    Args:
        name: a folder, or a name of the model hub.
        revision: branch, tag or commit of a hub model.
        trust_remote_code: code that comes with it is needed too.
        only_config: weights are not needed.

    Raises:
        MissingFileError: no such folder, or it holds no model.
        ModelError: the hub has no such model, does not let us have it, or cannot be reached.
        OutputError: the hub's cache cannot be written.
    """
    local = local_folder(name)
    if local is not None:
        return Found(_inner(local), "", local)
    found = _cached(name, revision)
    if found is None or not _whole(_inner(found), trust_remote_code, only_config):
        try:
            with _hub_errors(name, revision), client_errors_only():
                found = _fetch(name, revision, only_config)
        except ModelError:
            # Some tokenizers have no file but their configuration: what is here may be all that there is.
            if found is None or not _whole(_inner(found), trust_remote_code, only_config, tokenizer=False):
                raise
    return Found(_inner(found), found.name, found)


def local_folder(name: str) -> Path | None:
    """The folder that ``name`` means, or ``None`` if it is a name of the model hub (``owner/model`` or ``model``).

    Raises:
        MissingFileError: ``name`` can only be a path, and no such folder exists, or it holds no model.
        ModelError: the folder holds an adapter.
    """
    path = Path(name).expanduser()
    if name and path.is_dir():
        if not (_inner(path) / "config.json").is_file():
            what, remedy = weights.not_a_model(path)
            raise MissingFileError(what, file=path, remedy=remedy)
        return path
    if path.is_file():
        raise MissingFileError("is a file, not a model folder", file=name, remedy="Name the folder that it lies in")
    if name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name or not name or path.exists():
        raise MissingFileError(
            "no such model folder", file=name, remedy="Check the path; `align-eval models list` lists offline models"
        )
    return None


def _inner(folder: Path) -> Path:
    """The folder itself, or the subfolder of the transformer of sentence-transformers where it has one."""
    if not (folder / "config.json").is_file() and (folder / weights.MODULES).is_file():
        inner = weights.transformer_module(_json(folder / weights.MODULES))
        if inner:
            return folder / inner
    return folder


def _json(path: Path) -> Any:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return parse_json(path.read_text("utf-8"))
    return None


def _cached(name: str, revision: str | None) -> Path | None:
    """The folder of the hub's cache that has the model's configuration, or ``None``."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for file in ("config.json", weights.MODULES):
        with contextlib.suppress(HFValidationError):
            found = try_to_load_from_cache(name, file, revision=revision)
            if isinstance(found, str):
                return Path(found).parent
    return None


def _whole(folder: Path, code: bool, only_config: bool, *, tokenizer: bool = True) -> bool:
    """Whether a folder of the cache has what is needed: configuration, a tokenizer, and every file of the weights."""
    config = _json(folder / "config.json")
    if not isinstance(config, dict):
        return False
    if only_config:
        return True
    names = {path.name for path in folder.iterdir() if path.exists()}
    main = weights.main_file(names)
    try:
        shards = weights.shards_of(folder / main) if main and main.endswith(weights.INDEX) else []
    except ModelError:
        return False
    if main is None or not names.issuperset(shards):
        return False
    modules = (
        {str(entry).partition(".")[0] + ".py" for entry in dict(config.get("auto_map") or {}).values()} if code else ()
    )
    return (not tokenizer or any(_of_tokenizer(entry) for entry in names)) and names.issuperset(
        m for m in modules if "--" not in m
    )


def _of_tokenizer(name: str) -> bool:
    return name.startswith(("tokenizer.", "vocab", "spiece", "sentencepiece")) or name.endswith(
        (".spm", ".model", ".codes")
    )


def _fetch(name: str, revision: str | None, only_config: bool) -> Path:
    """Have ``huggingface_hub`` fetch what a load reads, small files first; returns the folder."""
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Bar(tqdm):  # type: ignore[misc]
        """Drawn on a terminal alone."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **{**named, "disable": named.get("disable") or None})

    listed = HfApi(endpoint=constants.ENDPOINT).model_info(name, revision=revision).siblings or ()
    names = {entry.rfilename for entry in listed}

    def get(files: set[str]) -> Path:
        patterns = [re.sub(r"([*?[])", r"[\1]", file) for file in sorted(files)]
        asked: dict[str, Any] = {"revision": revision, "allow_patterns": patterns, "endpoint": constants.ENDPOINT}
        return Path(snapshot_download(name, tqdm_class=Bar, **asked))

    here = ""
    if "config.json" not in names and weights.MODULES in names:
        inner = weights.transformer_module(_json(get({weights.MODULES}) / weights.MODULES))
        here = f"{inner}/" if inner else ""
    own = {entry[len(here) :] for entry in names if entry.startswith(here) and "/" not in entry[len(here) :]}
    if weights.ADAPTER in own:
        folder = get({here + weights.ADAPTER})
        what, remedy = weights.not_a_model(folder / here)
        raise ModelError(what.replace("the folder", name, 1), remedy=remedy)
    main = weights.main_file(own)
    if "config.json" not in own or (main is None and not only_config):
        what, remedy = weights.other_forms({*own, *(entry.partition("/")[0] for entry in names)})
        raise ModelError(f"{name} holds {what}", remedy=remedy)
    small = {here + entry for entry in own if entry.endswith(SMALL_FILES) or entry == "README.md"}
    folder = get(small | ({"README.md", weights.MODULES} & names))
    if only_config or main is None:
        return folder
    wanted = {here + main}
    if main.endswith(weights.INDEX):
        wanted |= {here + shard for shard in weights.shards_of(get(wanted) / here / main)}
    return get(small | wanted)


@contextlib.contextmanager
def _hub_errors(name: str, revision: str | None) -> Iterator[None]:
    """Turn what ``huggingface_hub`` raises into one sentence with its own remedy."""
    from huggingface_hub import constants, errors

    near = nearest_names(name, MODELS.names())
    hint = f"Did you mean {PREFIX}{near[0]}?" if near else "`align-eval models list` lists models that need no network"
    site = constants.ENDPOINT
    try:
        if not constants.HF_HUB_OFFLINE:
            _require_network(name, hint)
        yield
    except AlignEvalError:
        raise
    except errors.HFValidationError:
        raise ModelError(
            f"{name!r} is neither a folder nor a name of the model hub", remedy=f"Write OWNER/NAME or a path. {hint}"
        ) from None
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{name} is gated: its authors ask you to accept terms",
            remedy=f"Accept them at {site}/{name}, then log in (hf auth login) or set HF_TOKEN",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(
            f"{name} has no revision {revision!r}", remedy="Correct --revision (revision in Python), or leave it out"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise ModelError(
            f"{name} is not in the hub's cache as a whole, and HF_HUB_OFFLINE forbids to fetch it",
            remedy=f"Unset HF_HUB_OFFLINE and run again, or name a folder. {hint}",
        ) from error
    except errors.DisabledRepoError as error:
        raise ModelError(f"{name} is disabled by {site}", remedy="Choose another model") from error
    except errors.HfHubHTTPError as error:
        told = getattr(error.response, "status_code", None)
        if told in (401, 403) or isinstance(error, errors.RepositoryNotFoundError):
            raise ModelError(
                f"{name} is neither a folder nor a model of {site} that you may see",
                remedy=f"Check the name; for a private model log in (hf auth login) or set HF_TOKEN. {hint}",
            ) from error
        remedy = "Run the same command again later: what was fetched is kept"
        raise ModelError(f"{site} answers {told or 'with an error'} for {name}", remedy=remedy) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise OutputError(
                f"the hub's cache cannot be written: {error.strerror}", file=constants.HF_HUB_CACHE,
                remedy="Free space there, check its rights, or set HF_HOME to another folder",
            ) from error  # fmt: skip
        text = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"{name} could not be fetched whole: {first_sentence(text)}",
            remedy="Check the network and run the same command again: what was fetched is kept",
        ) from error


def _require_network(name: str, hint: str) -> None:
    """Look the hub's host up: quicker than the retries of the client. With a proxy, leave it."""
    import socket
    import urllib.parse
    import urllib.request

    from huggingface_hub import constants

    host = urllib.parse.urlsplit(constants.ENDPOINT).hostname
    if host is None or urllib.request.getproxies():
        return
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        raise ModelError(
            f"{name} is neither a folder nor whole in the hub's cache, and there is no network to fetch it", remedy=hint
        ) from None


def licence_of(folder: Path) -> str:
    """The licence that the head of a model's README states (``license: ...``), or ``"unknown"``."""
    readme = folder / "README.md"
    if not readme.is_file():
        return "unknown"
    head = readme.read_text("utf-8", errors="replace").split("\n---", 1)[0]
    stated = re.search(r"^license:\s*[\"']?([^\s\"']+)", head, re.MULTILINE)
    return stated[1] if stated else "unknown"
