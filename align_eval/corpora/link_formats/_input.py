"""The bytes of a link file in blocks of whole lines."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from align_eval.corpora.inputs import Input
from align_eval.errors import EncodingError, FormatError
from align_eval.files import check_line_size, unpacking_errors
from align_eval.first_bytes import check_text, utf8_remedy

_BOM = b"\xef\xbb\xbf"


class LinkInput(Input):
    """An :class:`~align_eval.corpora.inputs.Input` that is also read in blocks of whole lines."""

    def line_blocks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield blocks of whole lines, about ``size`` bytes each; a byte order mark at the start is dropped.

        Every block but the last ends with a line feed.
        """
        rest: list[bytes] = []
        start = True
        with self.open() as stream, unpacking_errors(self.name):
            done = 0
            while block := stream.read(size):
                if start or b"\0" in block:
                    check_text(block, self.name, self._line_at(done) if done else 1, start=start)
                done += len(block)
                if start:
                    start = False
                    block = block.removeprefix(_BOM)
                cut = block.rfind(b"\n") + 1
                if cut:
                    rest.append(block[:cut])
                    yield b"".join(rest)
                    rest = [block[cut:]]
                else:
                    rest.append(block)
                    check_line_size(sum(map(len, rest)), self.name, partial(self._line_at, done))
        if last := b"".join(rest):
            yield last

    def _line_at(self, place: int) -> int:
        """The number of the line, from 1, in which byte ``place`` (from 0) stands."""
        line = 1
        with self.open() as stream:
            while place > 0 and (block := stream.read(min(place, 1 << 20))):
                line += block.count(b"\n")
                place -= len(block)
        return line

    def decode_block(self, block: bytes, first: int) -> Iterator[tuple[int, str]]:
        """The lines of one block of whole lines, the first of them being line ``first`` of the file."""
        for number, raw in enumerate(block.removesuffix(b"\n").split(b"\n"), first):
            try:
                yield number, raw.removesuffix(b"\r").decode("utf-8")
            except UnicodeDecodeError as error:
                raise EncodingError(
                    f"byte 0x{raw[error.start]:02x} at column {error.start + 1} is not UTF-8",
                    file=self.name,
                    line=number,
                    remedy=utf8_remedy(raw, error.start),
                ) from None

    def malformed(self, message: str, line: int | None, remedy: str) -> FormatError:
        """A :class:`FormatError` about ``line`` of this file."""
        return FormatError(message, file=self.name, line=line, remedy=remedy)
