"""The systems that are compared: sentence pairs in, a file of links out, each through the code that its users run.

- :class:`Ours`: ``align_eval``'s aligner and :func:`align_file`, batches and journal included.
- :class:`SimAlign`: the package ``simalign`` on the same weights, one pair at a time, as it is published.
- :class:`AwesomeAlign`: the batch loop of the package ``awesome-align`` (its data set, data loader, model, extraction
  and writer) on the same weights. Its own BERT reads them; only its tokenizer cannot, so what its data set asks of one
  is given by the model's tokenizer.
- :class:`Ours` with ``eflomal`` and ``fast_align``: by the package sil-thot, in both directions and symmetrised.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from align_eval import Links, LinkTable, SentencePair, load_testset

MODEL = "offline:e5-small"
LAYER = 7
SETS = ("enfr-wpt", "zhen-tsinghua")
QUICK = 24
SIMALIGN = {"argmax": "inter", "itermax": "itermax", "match": "mwmf"}


@dataclass(frozen=True)
class TextSet:
    """Sentence pairs of a test set, or some of them."""

    name: str
    pairs: list[SentencePair]
    gold: LinkTable

    def part(self, positions: Sequence[int]) -> TextSet:
        """The pairs at ``positions``."""
        gold = LinkTable.from_links([self.gold.gold(k) for k in positions])
        return TextSet(self.name, [self.pairs[k] for k in positions], gold)

    def aer(self, output: Path) -> float:
        """The AER in percent of a file of links."""
        from align_eval import score

        return score(self.gold, LinkTable.from_links(read_links(output)), resamples=0).aer


def load_set(name: str, limit: int | None = None) -> TextSet:
    """A test set, or its first ``limit`` pairs."""
    found = load_testset(name)
    whole = TextSet(name, found.pairs, found.gold)
    return whole if limit is None else whole.part(range(min(limit, len(whole.pairs))))


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """The option ``--pairs``."""
    parser.add_argument("--pairs", type=int, help=f"first pairs of each set (default: all; {QUICK} with --quick)")


def limit(options: argparse.Namespace) -> int | None:
    """How many pairs of each set are asked for; ``None``: all."""
    asked: int | None = options.pairs
    return QUICK if asked is None and options.quick else asked


def read_links(path: Path) -> list[Links]:
    """The links of each line of a file in Pharaoh form, counted from 0."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [Links(sorted(tuple(map(int, link.split("-"))) for link in line.split())) for line in lines]


def load_encoder(**options: Any) -> Any:
    """The model that all systems share, in float32 unless ``options`` of ``load_model`` say otherwise."""
    from align_eval import load_model

    return load_model(MODEL, **options)


class Ours:
    """A method of ``align-eval``: ``argmax``, ..., or ``eflomal``, ``fast_align`` (which need no encoder)."""

    def __init__(self, method: str, encoder: Any = None) -> None:
        from align_eval.aligners import AlignerSettings, make_aligner

        self.method = method
        layers = () if encoder is None or method == "refined" else (LAYER,)
        # The packages that are compared with keep lone marks; refined does as it was trained.
        marks = None if method == "refined" else "keep"
        self.aligner = make_aligner(AlignerSettings(encoder, (method,), layers, lone_marks=marks))

    def __call__(self, text: TextSet, output: Path) -> None:
        from align_eval.runs.align_file import align_file

        align_file(self.aligner, text.pairs, output, resume=False)


class SimAlign:
    """A method of the package; several share one ``SentenceAligner`` and so one copy of the weights."""

    _made: Any = None

    def __init__(self, method: str, folder: Path) -> None:
        self.method = method
        self.key = SIMALIGN[method]
        if SimAlign._made is None:
            from simalign import SentenceAligner

            from align_eval.models.loading_errors import quiet

            logging.getLogger("simalign.simalign").setLevel(logging.WARNING)
            with quiet():
                SimAlign._made = SentenceAligner(
                    model=str(folder), token_type="bpe", matching_methods="a", device="cpu", layer=LAYER
                )
        self.aligner = SimAlign._made

    def __call__(self, text: TextSet, output: Path) -> None:
        self.aligner.matching_methods = [self.key]  # what its constructor makes of the letters a, i, m
        with open(output, "w", encoding="utf-8") as stream:
            for pair in text.pairs:
                links = self.aligner.get_word_aligns(list(pair.source), list(pair.target))[self.key]
                stream.write(" ".join(f"{i}-{j}" for i, j in links) + "\n")


class _WordTokenizer:
    """What awesome-align's data set asks of a tokenizer, given by the model's own."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        inner = AutoTokenizer.from_pretrained(folder)
        self.tokenize = inner.tokenize
        self.convert_tokens_to_ids = inner.convert_tokens_to_ids
        self.pad_token_id, self.cls_token_id = inner.pad_token_id, inner.cls_token_id
        self.sep_token_id = inner.sep_token_id
        self.max_len = 512

    def prepare_for_model(self, ids: list[int], return_tensors: str, max_length: int) -> dict[str, Any]:
        import torch

        return {"input_ids": torch.tensor([[self.cls_token_id, *ids[: max_length - 2], self.sep_token_id]])}


class AwesomeAlign:
    """awesome-align's ``word_align`` with its published settings: batches of 32, softmax with threshold 0.001.

    Args:
        folder: of the model.
        workers: processes that tokenise (its default is 4; 0: none, which on two cores may be quicker).
    """

    _made: Any = None

    def __init__(self, folder: Path, workers: int) -> None:
        import torch
        from awesome_align import modeling, run_align
        from awesome_align.configuration_bert import BertConfig
        from safetensors.torch import load_file
        from transformers import AutoConfig

        self.method = "softmax"
        self._align = run_align.word_align
        self._options = {
            "num_workers": workers, "batch_size": 32, "device": torch.device("cpu"), "align_layer": LAYER,
            "extraction": "softmax", "softmax_threshold": 0.001, "output_prob_file": None, "output_word_file": None,
        }  # fmt: skip
        if AwesomeAlign._made is None:
            known = AutoConfig.from_pretrained(folder)
            names = (
                "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                "hidden_act", "max_position_embeddings", "type_vocab_size", "layer_norm_eps",
            )  # fmt: skip
            with torch.device("meta"):
                model = modeling.BertForMaskedLM(BertConfig(**{name: getattr(known, name) for name in names}))
            del model.cls, model.psi_cls  # heads that alignment does not use
            weights = load_file(folder / "model.safetensors")
            result = model.bert.load_state_dict(weights, strict=False, assign=True)
            missing = [name for name in result.missing_keys if "position_ids" not in name]
            if missing:
                raise SystemExit(f"awesome-align's BERT lacks weights: {', '.join(missing[:5])}")
            tokenizer = _WordTokenizer(folder)
            modeling.PAD_ID, modeling.CLS_ID = tokenizer.pad_token_id, tokenizer.cls_token_id
            modeling.SEP_ID = tokenizer.sep_token_id
            AwesomeAlign._made = model.eval(), tokenizer
        self.model, self.tokenizer = AwesomeAlign._made

    def __call__(self, text: TextSet, output: Path) -> None:
        data = output.with_suffix(".bitext")
        if not data.exists():
            lines = (f"{' '.join(p.source)} ||| {' '.join(p.target)}\n" for p in text.pairs)
            data.write_text("".join(lines), encoding="utf-8")
        options = argparse.Namespace(data_file=str(data), output_file=str(output), **self._options)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # tqdm
            self._align(options, self.model, self.tokenizer)


def installed(package: str) -> bool:
    """Whether a package of the peers is there."""
    import importlib.util

    return importlib.util.find_spec(package) is not None
