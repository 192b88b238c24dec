"""The download path against a server on 127.0.0.1: what is not whole and verified never appears under its name."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from align_eval.corpora import fetching
from align_eval.corpora.fetching import fetch_file, inner_path
from align_eval.corpora.testset_entries import is_inner_path
from align_eval.errors import ChecksumError, DownloadError, InputError, OutputError
from align_eval.io import locks
from tests.loopback import Loopback, serve

BODY = random.Random(1).randbytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("no_proxy", "*")
    with serve() as running:
        yield running


def fetch(url: str, root: Path, path: str = "set/file", sha256: str = SHA, **more: object) -> Path:
    return fetch_file(url, root, path, sha256, **{"backoff": 0.0, "timeout": 5.0, **more})  # type: ignore[arg-type]


def files_in(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_good_file(server: Loopback, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(server.add("/f", BODY), tmp_path, progress=lambda have, total: seen.append((have, total)))
    assert path == tmp_path / "set" / "file"
    assert path.read_bytes() == BODY
    assert files_in(tmp_path) == ["set/file"]
    assert seen[-1] == (len(BODY), len(BODY))
    assert [have for have, _ in seen] == sorted(have for have, _ in seen)


def test_what_is_there_is_not_fetched_again(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/f", BODY)
    fetch(url, tmp_path)
    fetch(url, tmp_path)
    assert len(server.requests) == 1


def test_a_wrong_file_in_place_is_replaced(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file").write_bytes(BODY[:-1])
    assert fetch(server.add("/f", BODY), tmp_path).read_bytes() == BODY


def test_a_good_file_stays_until_the_new_one_is_whole(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file").write_bytes(b"of an earlier version")
    with pytest.raises(DownloadError):
        fetch(server.add("/f", BODY, stop_after=[9] * 9), tmp_path)
    assert (tmp_path / "set" / "file").read_bytes() == b"of an earlier version"


def test_no_content_length(server: Loopback, tmp_path: Path) -> None:
    assert fetch(server.add("/f", BODY, announce=False), tmp_path).read_bytes() == BODY


def test_empty_file(server: Loopback, tmp_path: Path) -> None:
    assert fetch(server.add("/f", b""), tmp_path, sha256=hashlib.sha256(b"").hexdigest()).read_bytes() == b""


def test_wrong_checksum(server: Loopback, tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match=hashlib.sha256(b"other").hexdigest()):
        fetch(server.add("/f", b"other"), tmp_path)
    assert files_in(tmp_path) == []


def test_truncated_body_is_fetched_again(server: Loopback, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    url = server.add("/f", BODY, stop_after=[100_000])
    assert fetch(url, tmp_path, progress=lambda have, total: seen.append((have, total))).read_bytes() == BODY
    assert server.requests == [("/f", ""), ("/f", "")]
    assert seen[-1] == (len(BODY), len(BODY))


def test_truncated_body_for_good(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/f", BODY, stop_after=[1000, 0, 0, 0])
    with pytest.raises(DownloadError, match="IncompleteRead"):
        fetch(url, tmp_path)
    assert files_in(tmp_path) == []
    assert len(server.requests) == 4


def test_connection_cut(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/f", BODY, stop_after=[100_000], reset=True)
    with pytest.raises(DownloadError):
        fetch(url, tmp_path, attempts=1)
    assert files_in(tmp_path) == []
    assert fetch(url, tmp_path).read_bytes() == BODY


def test_not_found_is_not_tried_again(server: Loopback, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="404 Not Found"):
        fetch(server.url + "/none", tmp_path)
    assert len(server.requests) == 1
    assert files_in(tmp_path) == []


def test_busy_server_is_asked_again(server: Loopback, tmp_path: Path) -> None:
    assert fetch(server.add("/f", BODY, status=[503, 429]), tmp_path).read_bytes() == BODY


def test_server_error_for_good(server: Loopback, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="500"):
        fetch(server.add("/f", BODY, status=[500] * 9), tmp_path)
    assert len(server.requests) == 4


def test_redirect(server: Loopback, tmp_path: Path) -> None:
    server.add("/g", BODY, stop_after=[1000])
    assert fetch(server.add("/f", redirect="/g"), tmp_path).read_bytes() == BODY
    assert server.requests == [("/f", ""), ("/g", "")] * 2


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://127.0.0.1/f"])
def test_redirect_to_what_is_no_web_address(server: Loopback, tmp_path: Path, address: str) -> None:
    with pytest.raises(DownloadError):
        fetch(server.add("/f", redirect=address), tmp_path)
    assert files_in(tmp_path) == []


def test_redirect_without_end(server: Loopback, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="redirects"):
        fetch(server.add("/f", redirect="/f"), tmp_path)


def test_redirect_from_https_to_http_is_refused() -> None:
    answer = requests.Response()
    answer.url, answer.status_code, answer.headers["location"] = "https://127.0.0.1/f", 302, "http://127.0.0.1/f"
    with pytest.raises(DownloadError, match="not followed"):
        fetching._Sink(io.BytesIO(), answer.url, 9, None).answered(answer)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/f", "set/file", ""])
def test_only_web_addresses(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch(url, tmp_path)


def test_no_server(server: Loopback, tmp_path: Path) -> None:
    with serve() as gone:
        url = gone.url
    with pytest.raises(DownloadError, match="could not be fetched"):
        fetch(f"{url}/f", tmp_path, attempts=2)
    assert files_in(tmp_path) == []


def test_silent_server(server: Loopback, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="timed out"):
        fetch(server.add("/f", BODY, stall=1.0), tmp_path, timeout=0.1, attempts=1)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("announce", ["x", "-1", "9" * 5000])
def test_strange_content_length(server: Loopback, tmp_path: Path, announce: str) -> None:
    with contextlib.suppress(DownloadError):
        fetch(server.add("/f", BODY, announce=announce), tmp_path)
    assert files_in(tmp_path) in ([], ["set/file"])


@pytest.mark.parametrize("address", ["http://[x", "http://127.0.0.1:port/", "http:///f", "https://"])
def test_addresses_that_cannot_be(server: Loopback, tmp_path: Path, address: str) -> None:
    with pytest.raises((DownloadError, InputError)):
        fetch(address, tmp_path)
    with pytest.raises(DownloadError):
        fetch(server.add("/f", redirect=address), tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("announce", [True, False])
def test_too_large(server: Loopback, tmp_path: Path, announce: bool) -> None:
    with pytest.raises(DownloadError, match="more than the 1000 bytes"):
        fetch(server.add("/f", BODY, announce=announce), tmp_path, max_bytes=1000)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("path", ["../file", "a/../../file", "/file", "", "a//b", "a/./b", "C:/file", "a\\..\\b", "a/"])
def test_path_outside_the_cache(server: Loopback, tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="leaves the folder"):
        fetch(server.add("/f", BODY), tmp_path / "cache", path)
    assert server.requests == []
    assert files_in(tmp_path) == []


def test_path_outside_the_cache_through_a_link(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "set").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="leaves the folder"):
        fetch(server.add("/f", BODY), tmp_path / "cache")
    assert files_in(tmp_path) == []


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b.c", "~"]), max_size=5).map("/".join))
def test_inner_paths_stay_inside(path: str) -> None:
    root = Path("/somewhere/cache")
    if is_inner_path(path):
        assert Path(os.path.normpath(root / path)).is_relative_to(root)
        assert inner_path(root, path) == root / path
    else:
        with pytest.raises(InputError):
            inner_path(root, path)


def test_two_at_once_share_one_download(server: Loopback, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    url = server.add("/f", BODY)
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(fetch(url, tmp_path).read_bytes())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [BODY] * 6
    assert len(server.requests) == 1
    assert files_in(tmp_path) == ["set/file"]


def test_without_locks(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "lock", lambda handle, wait: False)
    url = server.add("/f", BODY, stop_after=[10])
    with pytest.raises(DownloadError):
        fetch(url, tmp_path, attempts=1)
    assert files_in(tmp_path) == []
    assert fetch(url, tmp_path).read_bytes() == BODY
    assert files_in(tmp_path) == ["set/file"]


@contextlib.contextmanager
def full(target: Path) -> Iterator[tuple[int, Path]]:
    yield os.open("/dev/full", os.O_WRONLY), target


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "temporary_beside", full)
    with pytest.raises(OutputError, match="No space left"):
        fetch(server.add("/f", BODY), tmp_path)
    assert files_in(tmp_path) == []


def test_a_file_where_a_folder_should_be(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "set").write_text("")
    with pytest.raises(OutputError):
        fetch(server.add("/f", BODY), tmp_path)
