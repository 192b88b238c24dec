"""Files: lines, compression, damage, whole-or-nothing output, full disks."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import random
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from align_eval.errors import EncodingError, MissingFileError, OutputError
from align_eval.files import (
    atomic_writer,
    cache_folder,
    count_lines,
    decode_lines,
    open_binary,
    output_errors,
    output_stream,
    read_lines,
    sha256_of,
)
from align_eval.first_bytes import sniff

PACK: dict[str, Any] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def lines_of(path: Path) -> list[str]:
    numbered = list(read_lines(path))
    assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1))
    return [line for _, line in numbered]


class TestReading:
    @pytest.mark.parametrize(
        ("raw", "lines"),
        [
            (b"", []),
            (b"\n", [""]),
            (b"a", ["a"]),
            (b"a\n", ["a"]),
            (b"a\n\n", ["a", ""]),
            (b"a\r\nb\r\r\nc\rd\r", ["a", "b\r", "c\rd\r"]),
            (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
            ("a\u2028b\x85c\x0cd\x1ce\n".encode(), ["a\u2028b\x85c\x0cd\x1ce"]),
        ],
    )
    @pytest.mark.parametrize("suffix", PACK)
    def test_lines(self, tmp_path: Path, raw: bytes, lines: list[str], suffix: str) -> None:
        path = tmp_path / f"f{suffix}"
        path.write_bytes(PACK[suffix](raw))
        assert lines_of(path) == lines
        with open_binary(path) as stream:
            assert count_lines(stream, "f") == len(lines)

    @QUICK
    @given(
        lines=st.lists(
            st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\n\r\ufeff")), max_size=20
        ),
        sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
        end=st.sampled_from(["\n", "\r\n"]),
    )
    def test_any_cutting_into_blocks_gives_the_same_lines(self, lines: list[str], sizes: list[int], end: str) -> None:
        raw = "".join(line + end for line in lines).encode()

        class Dribble(io.BytesIO):
            turn = 0

            def read1(self, size: int | None = -1) -> bytes:
                self.turn += 1
                return super().read1(sizes[self.turn % len(sizes)])

        assert [line for _, line in decode_lines(Dribble(raw), "f")] == lines

    @QUICK
    @given(raw=st.binary(max_size=200))
    def test_any_bytes(self, tmp_path: Path, raw: bytes) -> None:
        path = tmp_path / "f"
        path.write_bytes(raw)
        try:
            found: list[str] | None = lines_of(path)
        except EncodingError as error:
            found = None
            bad = error.line
        expected = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        if found is None:
            if bad is None or b"\0" in raw or raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                return  # what is no text at all
            with pytest.raises(UnicodeDecodeError):
                expected[bad - 1].decode()
            b"\n".join(expected[: bad - 1]).decode()
        else:
            assert len(found) == raw.count(b"\n") + (raw[-1:] not in (b"", b"\n"))

    def test_lines_before_undecodable_bytes_are_given(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_bytes(b"a\nb\nc\xe4d\n")
        lines = read_lines(path)
        assert [next(lines), next(lines)] == [(1, "a"), (2, "b")]
        with pytest.raises(EncodingError, match="0xe4 at column 2 is not UTF-8") as caught:
            next(lines)
        assert (caught.value.file, caught.value.line) == (str(path), 3)
        assert "iconv" in (caught.value.remedy or "")

    @pytest.mark.parametrize(
        ("line", "remedy"),
        [
            ("für".encode("latin-1"), "iconv -f ISO-8859-1 -t UTF-8"),
            (b"it\x92s", "iconv -f WINDOWS-1252 -t UTF-8"),
            ("これは文です".encode("shift-jis"), "SHIFT_JIS"),
            ("это предложение".encode("koi8-r"), "KOI8-R"),
            ("世界".encode()[:-1], "ends within a character"),
        ],
    )
    def test_the_remedy_fits_the_bytes(self, tmp_path: Path, line: bytes, remedy: str) -> None:
        path = tmp_path / "f"
        path.write_bytes(line + b"\n")
        with pytest.raises(EncodingError, match=remedy):
            lines_of(path)

    @pytest.mark.parametrize(
        ("suffix", "damage"),
        [
            *((s, d) for s in (".gz", ".xz", ".zst") for d in ("cut", "cut at half", "garbage")),
            (".gz", "flip"),
            (".xz", "flip"),  # Zstandard frames hold a checksum only if their writer wants one
        ],
    )
    def test_damaged(self, tmp_path: Path, suffix: str, damage: str) -> None:
        rng = random.Random(1)
        packed = PACK[suffix]("".join(f"line {rng.random()}\n" for _ in range(5000)).encode())
        broken = {
            "cut": packed[:-3],
            "cut at half": packed[: len(packed) // 2],
            "garbage": b"no compressed data at all",
            "flip": packed[:1000] + bytes([packed[1000] ^ 255]) + packed[1001:],
        }[damage]
        path = tmp_path / f"f{suffix}"
        path.write_bytes(broken)
        with pytest.raises(EncodingError) as caught:
            lines_of(path)
        assert caught.value.file == str(path)

    @pytest.mark.parametrize("pack", [*list(PACK.values())[1:], bz2.compress])
    @pytest.mark.parametrize("name", ["corpus.tsv.1", "s.GZ", "s"])
    def test_packed_data_under_any_name(self, tmp_path: Path, pack: Any, name: str) -> None:
        (tmp_path / name).write_bytes(pack(b"a\nb\n" * 9))
        assert lines_of(tmp_path / name) == ["a", "b"] * 9
        (tmp_path / name).write_bytes(pack(b"a\nb\n" * 9)[:-5])
        with pytest.raises(EncodingError, match="damaged"):
            lines_of(tmp_path / name)

    @pytest.mark.parametrize(
        ("raw", "what", "remedy"),
        [
            ("a b\nc\n".encode("utf-16"), "UTF-16 .byte order mark FF FE.", "iconv -f UTF-16 "),
            (b"\xfe\xff" + "a b\nc\n".encode("utf-16-be"), "UTF-16 .byte order mark FE FF.", "iconv -f UTF-16 "),
            ("a b\nc\n".encode("utf-16-le"), "NUL bytes: this looks like UTF-16LE", "iconv -f UTF-16LE"),
            ("das Haus\n".encode("utf-16-be"), "NUL bytes: this looks like UTF-16BE", "iconv -f UTF-16BE"),
            ("a\n".encode("utf-32"), "UTF-32", "iconv -f UTF-32"),
            (b"PK\x03\x04\x14\x00" + b"x" * 9, "zip archive", "unzip"),
            (b"%PDF-1.7\n", "PDF", "text"),
            (b"7z\xbc\xaf\x27\x1c\0\4", "7-Zip", "7z x"),
            (b"a.txt".ljust(257, b"\0") + b"ustar", "tar archive", "tar -xf"),
            (b"PAR1\x15", "Parquet", "parquet"),
            (b"BZh9 is no bzip2 data\n\0", "a NUL byte", "Repair"),
        ],
    )
    def test_what_is_no_text_is_said_with_its_remedy(self, tmp_path: Path, raw: bytes, what: str, remedy: str) -> None:
        (tmp_path / "f").write_bytes(raw)
        with pytest.raises(EncodingError, match=what) as caught:
            lines_of(tmp_path / "f")
        assert remedy in (caught.value.remedy or "")
        assert caught.value.file == str(tmp_path / "f")

    def test_a_nul_far_down_is_found_with_its_line(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"a\n" * 200_000 + b"b\0\n")
        with pytest.raises(EncodingError, match="NUL byte") as caught:
            lines_of(tmp_path / "f")
        assert caught.value.line == 200_001

    @pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
    def test_several_members(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"f{suffix}"
        path.write_bytes(PACK[suffix](b"a\nb") + PACK[suffix](b"c\n"))
        assert lines_of(path) == ["a", "bc"]

    @pytest.mark.parametrize("suffix", PACK)
    def test_files_are_closed(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"f{suffix}"
        path.write_bytes(PACK[suffix](b"a\nb\n"))
        script = "import sys, gc\nfrom align_eval.files import read_lines\n"
        script += "next(read_lines(sys.argv[1])); list(read_lines(sys.argv[1])); gc.collect()"
        done = subprocess.run(
            [sys.executable, "-W", "always", "-c", script, str(path)], capture_output=True, text=True, check=True
        )
        assert "ResourceWarning" not in done.stderr

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(MissingFileError, match="no such file") as caught:
            lines_of(tmp_path / "none")
        assert caught.value.file == str(tmp_path / "none")
        with pytest.raises(MissingFileError, match="is a folder"):
            open_binary(tmp_path)
        with pytest.raises(MissingFileError, match="not a possible path"):
            open_binary("a\x00b")
        (tmp_path / "f").write_text("")
        with pytest.raises(MissingFileError, match="cannot be opened"):
            open_binary(tmp_path / "f" / "g")

    def test_sha256(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"x" * 3_000_000)
        assert sha256_of(tmp_path / "f") == hashlib.sha256(b"x" * 3_000_000).hexdigest()

    def test_cache_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/x")
        monkeypatch.delenv("ALIGN_EVAL_CACHE", raising=False)
        assert cache_folder() == Path("/x/align-eval")
        monkeypatch.setenv("ALIGN_EVAL_CACHE", "~/here")
        assert cache_folder() == Path.home() / "here"


class TestWriting:
    def test_appears_only_at_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_text("old")
        with atomic_writer(path) as stream:
            stream.write("é\n")
            stream.flush()
            assert path.read_text() == "old"
        assert path.read_bytes() == "é\n".encode()
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
    def test_an_error_leaves_what_was_there(self, tmp_path: Path, kind: type[BaseException]) -> None:
        path = tmp_path / "f"
        path.write_text("old")

        def write() -> None:
            with atomic_writer(path) as stream:
                stream.write("new")
                raise kind

        with pytest.raises(kind):
            write()
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_rights_and_links(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "folder" / "f")
        with atomic_writer(tmp_path / "link", "wb") as stream:
            stream.write(b"x")  # type: ignore[arg-type]
        assert (tmp_path / "link").is_symlink()
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE((tmp_path / "folder" / "f").stat().st_mode) == 0o666 & ~umask

    @pytest.mark.parametrize("mode", ["w", "wb"])
    def test_a_pipe_is_written_to_and_not_replaced(self, tmp_path: Path, mode: str) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        (tmp_path / "link").symlink_to(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            with atomic_writer(tmp_path / "link", mode) as stream:
                stream.write(b"x\n" if mode == "wb" else "x\n")  # type: ignore[arg-type]
            assert os.read(reader, 10) == b"x\n"
        finally:
            os.close(reader)
        assert stat.S_ISFIFO(pipe.lstat().st_mode)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe"]

    def test_a_folder_is_not_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(OutputError, match="Name a file in that folder"), atomic_writer(tmp_path / "folder"):
            pass
        assert [p.name for p in tmp_path.iterdir()] == ["folder"]

    def test_folder_missing(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="create it first") as caught, atomic_writer(tmp_path / "no" / "f"):
            pass
        assert caught.value.file == str(tmp_path / "no" / "f")

    @pytest.mark.parametrize(
        ("number", "remedy"),
        [
            (errno.ENOSPC, "Free space"),
            (errno.EDQUOT, "quota"),
            (errno.EACCES, "rights"),
            (errno.EROFS, "read-only"),
            (errno.EIO, "Check the path and the disk"),
        ],
    )
    def test_a_full_disk_when_the_file_is_flushed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
    ) -> None:
        def fail(_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fail)
        path = tmp_path / "f"
        path.write_text("old")
        with pytest.raises(OutputError, match=remedy) as caught, atomic_writer(path) as stream:
            stream.write("new")
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == number
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
    def test_a_device_without_space(self) -> None:
        with (
            pytest.raises(OutputError, match="No space left"),
            output_errors("/dev/full"),
            open("/dev/full", "w") as out,
        ):
            out.write("x")

    @pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
    @pytest.mark.parametrize("name", ["f", "f.gz", "f.zst"])
    def test_a_file_that_may_not_grow(self, tmp_path: Path, name: str) -> None:
        script = (
            "import random, resource, signal, sys\n"
            "from align_eval.errors import OutputError\n"
            "from align_eval.files import output_stream\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            "try:\n"
            "    with output_stream(sys.argv[1]) as out:\n"
            "        for _ in range(100):\n"
            "            out.write(random.randbytes(10_000))\n"
            "except OutputError as error:\n"
            "    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / name)], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith(f"{tmp_path / name}: cannot be written: File too large")
        assert list(tmp_path.iterdir()) == []

    def test_a_broken_pipe_is_no_output_error(self) -> None:
        with pytest.raises(BrokenPipeError), output_errors("f"):
            raise BrokenPipeError(errno.EPIPE, "gone")

    @QUICK
    @given(data=st.binary(max_size=500).filter(lambda data: sniff(data) is None))
    @pytest.mark.parametrize("suffix", PACK)
    def test_compressed_output_reads_back(self, tmp_path: Path, suffix: str, data: bytes) -> None:
        path = tmp_path / f"f{suffix}"
        with output_stream(path) as stream:
            stream.write(data)
        with open_binary(path) as back:
            assert back.read() == data

    def test_standard_output(self, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        with output_stream("-") as stream:
            stream.write(b"x")
        assert capsysbinary.readouterr().out == b"x"
