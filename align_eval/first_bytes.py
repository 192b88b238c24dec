"""What a file is by its first bytes, whatever its name says: compressed data, an archive, UTF-16, or text."""

from __future__ import annotations

import re

from align_eval.errors import EncodingError

#: Bytes that :func:`sniff` needs to see.
ENOUGH = 16

_PACKED = ((b"\x1f\x8b\x08", "gzip"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
_OTHERS = (
    (b"PK\x03\x04", "a zip archive", "Unpack it first (unzip); save a spreadsheet as tab-separated text"),
    (b"PK\x05\x06", "an empty zip archive", "Pass the file that it should hold"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it first (7z x)"),
    (b"Rar!\x1a\x07", "a RAR archive", "Unpack it first (unrar x)"),
    (b"\x1f\x9d", "data packed by compress", "Unpack it first (gzip -d)"),
    (b"\x04\x22\x4d\x18", "LZ4 data", "Unpack it first (lz4 -d)"),
    (b"%PDF-", "a PDF file", "Pass the text itself"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a file of an old office program", "Save it as tab-separated text in UTF-8"),
    (b"PAR1", "a Parquet file", "Name its format: parquet"),
)
_UTF16 = "Convert it: iconv -f {} -t UTF-8 FILE > NEW"


def sniff(head: bytes) -> str | None:
    """``"gzip"``, ``"xz"``, ``"zstd"`` or ``"bzip2"`` if the first bytes of a file, ``head``, say so, else ``None``."""
    for magic, name in _PACKED:
        if head.startswith(magic):
            return name
    return "bzip2" if _BZIP2.match(head) else None


def check_text(block: bytes, name: str, line: int = 1, *, start: bool = False) -> None:
    """Raise :class:`EncodingError` if a block of the file ``name`` is plainly no UTF-8 text."""
    if start:
        if block.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
            raise EncodingError("UTF-32, not UTF-8", file=name, line=1, remedy=_UTF16.format("UTF-32"))
        if block.startswith((b"\xff\xfe", b"\xfe\xff")):
            mark = block[:2].hex(" ").upper()
            raise EncodingError(
                f"UTF-16 (byte order mark {mark}), not UTF-8", file=name, line=1, remedy=_UTF16.format("UTF-16")
            )
        for magic, what, remedy in _OTHERS:
            if block.startswith(magic):
                raise EncodingError(f"{what}, not text", file=name, remedy=remedy)
        if block[257:262] == b"ustar":
            raise EncodingError("a tar archive, not text", file=name, remedy="Unpack it first (tar -xf)")
    at = block.find(b"\0")
    if at >= 0:
        line += block.count(b"\n", 0, at)
        wide = _wide(block)
        if wide is None:
            raise EncodingError("a NUL byte, which no text holds", file=name, line=line, remedy="Repair the file")
        raise EncodingError(f"NUL bytes: this looks like {wide}", file=name, line=line, remedy=_UTF16.format(wide))


def _wide(block: bytes) -> str | None:
    """The encoding that NUL bytes speak for: in UTF-16 they are one half of each Latin letter, space and line end."""
    even, odd = block[0::2].count(0), block[1::2].count(0)
    if max(even, odd) * 8 < len(block) // 2 or min(even, odd) * 8 > max(even, odd):
        return None
    return "UTF-16BE" if even > odd else "UTF-16LE"


def utf8_remedy(line: bytes, at: int) -> str:
    """What to do about a line that is not UTF-8 from byte ``at`` on: the encoding that its bytes speak for, if any."""
    if 0xE0 <= line[at] < 0xF5 and 1 < len(line) - at < 4 and all(0x80 <= byte < 0xC0 for byte in line[at + 1 :]):
        return "The line ends within a character: fetch the file again, and cut it by lines, not by bytes"
    high = sum(byte >= 0x80 for byte in line)
    letters = sum(0x41 <= byte & 0xDF <= 0x5A for byte in line)
    if high > max(2, letters):  # an alphabet without Latin letters, or a script of two bytes a character
        return "Convert the file from its encoding to UTF-8 (iconv -f GB18030, SHIFT_JIS, KOI8-R, ... -t UTF-8)"
    latin = "WINDOWS-1252" if any(0x80 <= byte < 0xA0 for byte in line) else "ISO-8859-1"
    return f"Convert the file to UTF-8 (for example: iconv -f {latin} -t UTF-8)"
