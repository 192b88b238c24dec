"""Models of the hub: a server on 127.0.0.1 that speaks as the hub does, and folders of its cache."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from align_eval.errors import ModelError, OutputError
from align_eval.models import describe_model, hub, load_model
from tests.loopback import Loopback, serve
from tests.models.bins import to_bin
from tests.models.tiny import write_model

NAME, COMMIT = "people/tiny", "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A hub with one model, and its cache on this machine."""

    def __init__(self, server: Loopback, cache: Path) -> None:
        self.server, self.cache = server, cache

    def publish(self, files: dict[str, bytes], **how: Any) -> None:
        """Offer files; ``how``: how each is answered."""
        listed = [{"rfilename": name} for name in files]
        about = json.dumps({"id": NAME, "sha": COMMIT, "siblings": listed}).encode()
        tree = [
            {"type": "file", "path": k, "size": len(v), "oid": hashlib.sha1(v).hexdigest()} for k, v in files.items()
        ]
        for path in (
            f"/api/models/{NAME}",
            f"/api/models/{NAME}/revision/main",
            f"/api/models/{NAME}/revision/{COMMIT}",
        ):
            self.server.add(path, about)
        self.server.add(f"/api/models/{NAME}/tree/{COMMIT}", json.dumps(tree).encode())
        for name, body in files.items():
            headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
            for revision in ("main", COMMIT):
                self.server.add(f"/{NAME}/resolve/{revision}/{name}", body, headers=headers, **how)

    def refuse(self, status: int, code: str = "") -> None:
        """Answer whatever is asked of the model with an error."""
        headers = {"X-Error-Code": code} if code else {}
        for path in (f"/api/models/{NAME}", f"/api/models/{NAME}/revision/main", f"/api/models/{NAME}/revision/none"):
            self.server.add(path, status=[status] * 99, headers=headers)

    def asked(self) -> list[str]:
        return [path for path, _ in self.server.requests]


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("no_proxy", "*")
    with serve() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield Hub(server, tmp_path / "hub")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model(tmp_path_factory.mktemp("tiny") / "bert", "bert")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n", "utf-8")
    return folder


@pytest.fixture
def files(tiny: Path, tmp_path: Path) -> Any:
    """The files of the tiny model by name: ``files()`` in safetensors, ``files(3)`` in so many ``.bin`` files."""

    def read(shards: int = 0) -> dict[str, bytes]:
        folder = tmp_path / f"form-{shards}"
        shutil.copytree(tiny, folder)
        if shards:
            to_bin(folder, shards)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    return read


def cached(remote: Hub, content: dict[str, bytes]) -> Path:
    """The hub's cache with these files of the model."""
    folder = remote.cache / ("models--" + NAME.replace("/", "--"))
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT, "utf-8")
    for name, body in content.items():
        (snapshot / name).write_bytes(body)
    return snapshot


@pytest.mark.parametrize("shards", [0, 1, 3])
def test_a_model_is_fetched_once(remote: Hub, files: Any, shards: int, capfd: pytest.CaptureFixture[str]) -> None:
    unread = {"tf_model.h5": b"0" * 99, "onnx/model.onnx": b"0", "optimizer.pt": b"0", "coreml/x.json": b"{}"}
    remote.publish({**files(shards), **unread, **({} if shards else {"pytorch_model.bin": b"0"})})
    model = load_model(NAME)
    assert (model.revision, model.licence, model.layers) == (COMMIT, "mit", 4)
    fetched = [path for path in remote.asked() if "/resolve/" in path]
    assert not [path for path in fetched if path.endswith((".h5", ".onnx", ".pt", "/x.json"))]
    assert bool(shards) == any(path.endswith(".bin") for path in fetched)
    assert capfd.readouterr() == ("", "")  # no terminal, no bars
    remote.server.requests.clear()
    load_model(NAME)
    assert remote.asked() == []


@pytest.mark.parametrize("shards", [0, 1, 3])
def test_a_cut_download_goes_on(remote: Hub, files: Any, shards: int) -> None:
    content = files(shards)
    weights = [name for name in content if name.endswith((".bin", ".safetensors"))]
    remote.publish(content)
    last = f"/{NAME}/resolve/{COMMIT}/{weights[-1]}"
    remote.server.answers[last].status = [404] * 99
    with pytest.raises(ModelError, match="what was fetched is kept"):
        load_model(NAME)
    remote.server.answers[last].status = []
    remote.server.requests.clear()
    assert load_model(NAME).layers == 4
    bodies = [path for path in remote.asked() if path.endswith(tuple(weights[:-1]) or "-")]
    assert bodies == []  # shards that were whole are not fetched again


def test_a_connection_that_breaks_is_tried_again(remote: Hub, files: Any) -> None:
    content = files()
    remote.publish(content)
    size = len(content["model.safetensors"])
    remote.server.answers[f"/{NAME}/resolve/{COMMIT}/model.safetensors"].stop_after = [size // 3, size // 3]
    assert load_model(NAME).layers == 4


@pytest.mark.parametrize("lacking", ["model-00002", "pytorch_model.bin.index.json", "tokenizer.json", "config.json"])
def test_a_cache_that_is_not_whole(remote: Hub, files: Any, lacking: str) -> None:
    content = files(3)
    some = {k: v for k, v in content.items() if lacking not in k and not k.startswith("pytorch_" + lacking)}
    if lacking == "tokenizer.json":
        del some["tokenizer_config.json"]
    cached(remote, some)
    assert len(some) < len(content)
    remote.publish(content)
    assert load_model(NAME).layers == 4


def test_a_whole_cache_needs_no_network(remote: Hub, files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to load ``.bin`` files: ``transformers`` would ask a bot of the hub to convert them."""
    cached(remote, files(2))

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("the network is used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert load_model(NAME).revision == COMMIT
    assert load_model(NAME, revision=COMMIT).revision == COMMIT
    assert describe_model(NAME).revision == COMMIT
    assert remote.asked() == []


def test_sentence_transformers_of_the_hub(remote: Hub, files: Any) -> None:
    modules = [{"idx": 0, "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]
    inner = {f"0_Transformer/{name}": body for name, body in files().items()}
    remote.publish({"modules.json": json.dumps(modules).encode(), "README.md": b"---\nlicense: mit\n---\n", **inner})
    model = load_model(NAME)
    assert (model.path.name, model.revision, model.licence) == ("0_Transformer", COMMIT, "mit")
    remote.server.requests.clear()
    load_model(NAME)
    assert remote.asked() == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["config.json", "tf_model.h5"], "TensorFlow alone"),
        (["model.Q4_K_M.gguf", "config.json"], r"llama\.cpp"),
        (["config.json", "onnx/model.onnx"], "ONNX Runtime alone"),
        (["adapter_config.json", "adapter_model.safetensors"], "PEFT adapter of some/base"),
        (["README.md"], "no weights"),
    ],
)
def test_what_the_hub_has_in_other_forms(remote: Hub, names: list[str], said: str) -> None:
    remote.publish({name: json.dumps({"base_model_name_or_path": "some/base"}).encode() for name in names})
    with pytest.raises(ModelError, match=said):
        load_model(NAME)
    assert not [
        path for path in remote.asked() if path.endswith((".gguf", ".h5", ".onnx", "adapter_model.safetensors"))
    ]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "", r"neither a folder nor a model of .* that you may see.*hf auth login.*HF_TOKEN"),
        (404, "RepoNotFound", "Check the name"),
        (403, "GatedRepo", r"is gated.*Accept them at .*/people/tiny, then log in \(hf auth login\)"),
        (404, "RevisionNotFound", r"no revision 'none'. Correct --revision"),
        (500, "", "answers 500.*again later"),
    ],
)
def test_what_the_hub_refuses(remote: Hub, status: int, code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.refuse(status, code)
    with pytest.raises(ModelError, match=said) as caught:
        load_model(NAME, revision="none" if "Revision" in code else None)
    assert "transformers" not in str(caught.value)


def test_offline(remote: Hub, files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in (NAME, "bert-base-nowhere", "some/other"):
        with pytest.raises(ModelError, match=r"HF_HUB_OFFLINE forbids to fetch it. Unset HF_HUB_OFFLINE"):
            load_model(name)
    cached(remote, {name: body for name, body in files().items() if name != "model.safetensors"})
    with pytest.raises(ModelError, match="not in the hub's cache as a whole"):
        load_model(NAME)


def test_offline_with_a_tokenizer_that_has_no_file_of_its_own(
    remote: Hub, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    content = {name: body for name, body in files().items() if name != "tokenizer.json"}
    content["tokenizer_config.json"] = b'{"tokenizer_class": "CanineTokenizer"}'
    cached(remote, content)
    with pytest.raises(ModelError, match="no fast tokenizer"):  # and not that it is not in the cache
        load_model(NAME)


@pytest.mark.parametrize("name", ["a name", "x" * 120, "-a/b", "a//b", "a..b/c"])
def test_what_is_no_name(remote: Hub, name: str) -> None:
    with pytest.raises(
        (ModelError, FileNotFoundError), match=r"neither a folder nor a name of the model hub|no such model"
    ):
        load_model(name)


def test_a_full_disk(remote: Hub, files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.publish(files())

    def full(*arguments: object, **named: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(OutputError, match="set HF_HOME to another folder"):
        hub.find(NAME)
