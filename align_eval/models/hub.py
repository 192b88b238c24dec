"""The files of a model: the folder that a name means, what lies there, and whether reading its weights is safe.

A model that lies whole in the cache of the model hub is taken from there, so that it stays the same and needs no
network; ``huggingface_hub`` fetches what is missing, and keeps it. ``transformers`` gets a folder and asks the hub for
nothing. Safetensors come first; ``pytorch_model.bin`` is read by torch's restricted unpickler, which builds tensors and
plain containers and calls nothing else; what needs more than that is refused.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from align_eval.errors import AlignEvalError, MissingFileError, ModelError, OutputError, nearest_names
from align_eval.files import digest_of, parse_json
from align_eval.models.loading_errors import client_errors_only, first_sentence
from align_eval.models.offline import MODELS, PREFIX

SAFE = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
INDEX = ".index.json"
ADAPTER = "adapter_config.json"
MODULES = "modules.json"
#: Endings of the files of configuration and tokenizer, and of code that a model may bring along.
SMALL_FILES = (".json", ".txt", ".model", ".spm", ".py", ".jinja", ".bpe", ".codes", ".vocab", ".tiktoken")
# What training programs leave beside a model: nothing of it is loaded.
_LEFT = re.compile(
    r"(all|train|eval|predict|test)_results\.json|trainer_state\.json|README\..*|LICEN[CS]E.*|requirements\.txt"
)


class Found(NamedTuple):
    """Where a model lies: the folder that is loaded, the commit of the hub or ``""``, and the folder of its README."""

    folder: Path
    commit: str
    card: Path


class Weights(NamedTuple):
    """The files that hold the weights of a folder, the index first if there is one; whether they are ``.bin`` files."""

    files: tuple[Path, ...]
    pickled: bool


def find(
    name: str, revision: str | None = None, trust_remote_code: bool = False, *, only_config: bool = False
) -> Found:
    """The folder of a model, fetched from the hub if it is not here.

    Args:
        name: a folder, or a name of the model hub; ``revision``: branch, tag or commit there.
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

    What can only be a path, and is no folder with a model, is a :class:`MissingFileError`.
    """
    path = Path(name).expanduser()
    if name and path.is_dir():
        from align_eval.models.native_marian import native_files

        if not (_inner(path) / "config.json").is_file() and native_files(path) is None:
            what, remedy = _not_a_model(path)
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
    if not (folder / "config.json").is_file() and (folder / MODULES).is_file():
        return folder / (_transformer(folder / MODULES) or "")
    return folder


def _transformer(modules: Path) -> str | None:
    """The subfolder of the transformer in ``modules.json`` of sentence-transformers; empty: the folder itself."""
    listed = _json(modules)
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and str(entry.get("type", "")).endswith(".Transformer"):
            path = entry.get("path", "")
            return path if isinstance(path, str) and PurePosixPath(path).name == path else None
    return None


def _json(path: Path) -> Any:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return parse_json(path.read_text("utf-8"))
    return None


def _cached(name: str, revision: str | None) -> Path | None:
    """The folder of the hub's cache that has the model's configuration, or ``None``."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for file in ("config.json", MODULES):
        with contextlib.suppress(HFValidationError):
            found = try_to_load_from_cache(name, file, revision=revision)
            if isinstance(found, str):
                return Path(found).parent
    return None


def _whole(folder: Path, code: bool, only_config: bool, *, tokenizer: bool = True) -> bool:
    """Whether a folder of the cache has what is needed: configuration, a tokenizer, and every file of the weights."""
    config = _json(folder / "config.json")
    if not isinstance(config, dict) or only_config:
        return isinstance(config, dict)
    names = {path.name for path in folder.iterdir() if path.exists()}
    main = main_file(names)
    try:
        needed = set(_shards(folder / main)) if main and main.endswith(INDEX) else set()
    except ModelError:
        return False
    modules = {f"{str(entry).partition('.')[0]}.py" for entry in dict(config.get("auto_map") or {}).values()}
    needed |= {module for module in modules if code and "--" not in module}
    starts, ends = ("tokenizer.", "vocab", "spiece", "sentencepiece"), (".spm", ".model", ".codes")
    read = not tokenizer or any(entry.startswith(starts) or entry.endswith(ends) for entry in names)
    return main is not None and read and names.issuperset(needed)


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
    if "config.json" not in names and MODULES in names:
        inner = _transformer(get({MODULES}) / MODULES)
        here = f"{inner}/" if inner else ""
    own = {entry[len(here) :] for entry in names if entry.startswith(here) and "/" not in entry[len(here) :]}
    if ADAPTER in own:
        raise _adapter(name, get({here + ADAPTER}) / here, _MERGE)
    main = main_file(own)
    if "config.json" not in own or (main is None and not only_config):
        what, remedy = _other_forms({*own, *(entry.partition("/")[0] for entry in names)})
        raise ModelError(f"{name} holds {what}", remedy=remedy)
    small = {here + entry for entry in own if entry.endswith(SMALL_FILES) or entry == "README.md"}
    folder = get(small | ({"README.md", MODULES} & names))
    if only_config or main is None:
        return folder
    wanted = {here + main}
    if main.endswith(INDEX):
        wanted |= {here + shard for shard in _shards(get(wanted) / here / main)}
    return get(small | wanted)


@contextlib.contextmanager
def _hub_errors(name: str, revision: str | None) -> Iterator[None]:
    """Turn what ``huggingface_hub`` raises into one sentence with its own remedy."""
    from huggingface_hub import constants, errors

    near = nearest_names(name, MODELS.names())
    hint = f"Did you mean {PREFIX}{near[0]}?" if near else "`align-eval models list` lists models that need no network"
    site, again = constants.ENDPOINT, "run the same command again"
    told: tuple[tuple[type[Exception], str, str], ...] = (
        (errors.HFValidationError, f"{name!r} is neither a folder nor a name of the model hub",
         f"Write OWNER/NAME or a path. {hint}"),
        (errors.GatedRepoError, f"{name} is gated: its authors ask you to accept terms",
         f"Accept them at {site}/{name}, then log in (hf auth login) or set HF_TOKEN"),
        (errors.RevisionNotFoundError, f"{name} has no revision {revision!r}",
         "Correct --revision (revision in Python), or leave it out"),
        (errors.OfflineModeIsEnabled,
         f"{name} is not in the hub's cache as a whole, and HF_HUB_OFFLINE forbids to fetch it",
         f"Unset HF_HUB_OFFLINE and run again, or name a folder. {hint}"),
        (errors.DisabledRepoError, f"{name} is disabled by {site}", "Choose another model"),
    )  # fmt: skip
    try:
        if not constants.HF_HUB_OFFLINE:
            _require_network(name, hint)
        yield
    except AlignEvalError:
        raise
    except Exception as error:
        for kind, what, remedy in told:
            if isinstance(error, kind):
                raise ModelError(what, remedy=remedy) from error
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise OutputError(
                f"the hub's cache cannot be written: {error.strerror}", file=constants.HF_HUB_CACHE,
                remedy="Free space there, check its rights, or set HF_HOME to another folder",
            ) from error  # fmt: skip
        text = " ".join(str(error).split()) or type(error).__name__
        what = f"{name} could not be fetched whole: {first_sentence(text)}"
        remedy = f"Check the network and {again}: what was fetched is kept"
        if isinstance(error, errors.HfHubHTTPError):
            code = getattr(error.response, "status_code", None)
            what = f"{site} answers {code or 'with an error'} for {name}"
            remedy = f"{again.capitalize()} later: what was fetched is kept"
            if code in (401, 403) or isinstance(error, errors.RepositoryNotFoundError):
                what = f"{name} is neither a folder nor a model of {site} that you may see"
                remedy = f"Check the name; for a private model log in (hf auth login) or set HF_TOKEN. {hint}"
        raise ModelError(what, remedy=remedy) from error


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


def revision_of(folder: Path, weights: Weights | None) -> str:
    """12 hex digits over names and sha256 of the weights and of the files of configuration, tokenizer and code."""
    small = (path for path in folder.iterdir() if path.suffix in SMALL_FILES and not _LEFT.fullmatch(path.name))
    files = {path.name: path for path in (*small, *(weights.files if weights else ())) if path.is_file()}
    lines = [f"{name} {digest_of(path)}\n" for name, path in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def weights_of(folder: Path, name: str) -> Weights:
    """The weights that a folder's model is loaded from: safetensors if there are any, else ``pytorch_model.bin``."""
    present = {path.name for path in folder.iterdir()}
    if ADAPTER in present:
        raise _adapter(name, folder, "or remove adapter_config.json if that is done already")
    main = main_file(present)
    if main is None:
        what, remedy = _other_forms(present)
        raise ModelError(f"{name} holds {what}", remedy=remedy)
    shards = _shards(folder / main) if main.endswith(INDEX) else []
    files = tuple(folder / file for file in (main, *shards))
    for path in files:
        if not path.is_file():
            what = f"the weights of {name} are incomplete: {path.name} is missing, which {main} lists"
            raise ModelError(what, file=folder, remedy="Copy or download the file")
        with path.open("rb") as stream:
            if stream.read(40).startswith(b"version https://git-lfs"):
                remedy = "Fetch the files themselves: git lfs pull"
                raise ModelError("the file is a pointer of Git LFS, not the weights", file=path, remedy=remedy)
    return Weights(files, main in PICKLED)


def main_file(present: Collection[str]) -> str | None:
    """The file that loading the weights starts from, of the names of files in a folder."""
    return next((name for name in (*SAFE, *PICKLED) if name in present), None)


def _shards(index: Path) -> list[str]:
    """The names of the files that an index lists, sorted; none of them may leave the folder."""
    what = ""
    try:
        listed = sorted(set(parse_json(index.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        listed, what = [], "the file is no index of weights"
    ending = ".bin" if index.name in PICKLED else ".safetensors"
    for name in listed:
        if not isinstance(name, str) or PurePosixPath(name).name != name or "\\" in name or not name.endswith(ending):
            what = f"the index of weights lists {str(name)[:80]!r}, which is no {ending} file beside it"
            break
    if what or not listed:
        raise ModelError(
            what or "the index of weights lists no file", file=index, remedy="Copy or download the model again"
        )
    return listed


def _other_forms(present: Collection[str]) -> tuple[str, str]:
    """What a folder without readable weights holds, and the remedy."""
    endings = {PurePosixPath(name).suffix.lower(): name for name in sorted(present)}
    convert = "with transformers 4 and the package that it needs, then save_pretrained(NEW_FOLDER)"
    original, safe = "Name the model that it was {} from, with safetensors", (".bin", ".safetensors")
    flow, flax = ("tf_model.h5", "flax_model.msgpack")
    odd = [n for n in sorted(present) if n.endswith(safe) and not n.startswith("training_args")]
    pickles = [n for n in sorted(present) if n.endswith((".pt", ".pth", ".pkl"))]
    known: tuple[tuple[object, str, str], ...] = (
        (".gguf" in endings, f"weights of llama.cpp ({endings.get('.gguf')}), whose numbers are quantised",
         original.format("made")),
        ({flow, flow + INDEX} & {*present}, f"weights of TensorFlow alone ({flow})",
         f"Convert them once: from_pretrained(FOLDER, from_tf=True) {convert}"),
        ({flax, flax + INDEX} & {*present}, f"weights of Flax alone ({flax})",
         f"Convert them once: from_pretrained(FOLDER, from_flax=True) {convert}"),
        (any(".ckpt" in name for name in present), "a TensorFlow checkpoint alone (.ckpt)",
         f"Convert it once: from_pretrained(FOLDER, from_tf=True) {convert}"),
        (".onnx" in endings or "onnx" in present, "a model for ONNX Runtime alone", original.format("exported")),
        ("openvino_model.xml" in present, "a model for OpenVINO alone", original.format("exported")),
        ("model.bin" in present, "weights of CTranslate2 (model.bin)", original.format("converted")),
        (odd, f"no weights under the names that are read, but {', '.join(odd[:3])}",
         f"Rename the file to {SAFE[0]} or {PICKLED[0]}, if it is the model's"),
        (pickles, f"a checkpoint in a form of its own ({', '.join(pickles[:3])})",
         "Convert it with the program that made it to a folder that transformers loads"),
        (True, "no weights", f"Put {SAFE[0]} (or {PICKLED[0]}) there, or name another folder"),
    )  # fmt: skip
    return next((what, remedy) for holds, what, remedy in known if holds)


def _not_a_model(folder: Path) -> tuple[str, str]:
    """What a folder without ``config.json`` is, and the remedy."""
    present = {path.name for path in folder.iterdir()}
    if not present:
        return "the folder is empty", "Name a folder with a model"
    if ADAPTER in present:
        error = _adapter("the folder", folder, _MERGE)
        return error.message, str(error.remedy)
    if main_file(present) is not None:
        return "the folder holds weights but no config.json", "Copy config.json and the tokenizer's files there, too"
    inner = [path.name for path in sorted(folder.iterdir()) if (path / "config.json").is_file()]
    if inner:
        return "the folder holds no config.json", f"Name the folder inside it: {folder / inner[-1]}"
    what, remedy = _other_forms(present)
    if what == "no weights":
        return "the folder holds no config.json", "Name a folder with a model"
    return f"the folder holds no config.json but {what}", remedy


_MERGE = "and name the folder that it was saved to"


def _adapter(name: str, folder: Path, end: str) -> ModelError:
    """The error for a folder that holds a PEFT adapter."""
    config = _json(folder / ADAPTER)
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    return ModelError(
        f"{name} holds a PEFT adapter{f' of {base}' if base else ''}, and adapters are not loaded",
        remedy=f"Merge it into its base (peft: merge_and_unload, then save_pretrained), {end}",
    )


@contextlib.contextmanager
def unpickling_errors(weights: Weights) -> Iterator[None]:
    """Turn what torch raises for a ``.bin`` file into a :class:`ModelError` that names the file and says why."""
    try:
        yield
    except Exception:
        for file in weights.files if weights.pickled else ():
            if file.suffix == ".bin":
                _require_unpickled(file)
        raise


def _require_unpickled(file: Path) -> None:
    """Unpickle once more, without data, to tell whether this file is at fault."""
    import torch

    try:
        torch.load(file, map_location="meta", weights_only=True)
    except Exception as error:
        text = " ".join(str(error).split())
        what = "the weights are refused, since they need more than torch's restricted unpickler: "
        remedy = (
            "Choose a model with safetensors; or, if you trust its authors, write the tensors of this one to "
            "model.safetensors (safetensors.torch.save_file) beside it"
        )
        if "legacy .tar" in text:
            what += "it is a tar file of torch before 0.1.10"
        elif "TorchScript" in text:
            what += "it is a TorchScript program"
        elif "GLOBAL " in text:
            what += f"it names {text.partition('GLOBAL ')[2].split()[0]}, and to unpickle that may run code"
        else:
            what = "the file holds no weights that torch.load reads with weights_only=True, or is cut or damaged"
            remedy = "Copy or download it again"
        raise ModelError(what, file=file, remedy=remedy) from error
