"""What works with which architecture, tried on tiny models with random weights: writes docs/compatibility.md.

    python experiments/compatibility.py                 # the page
    python experiments/compatibility.py bert fsmt       # rows of these alone, to standard output

Every cell is a call of the package: "yes" where it gives finite numbers, else the sentence that it answers with.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from align_eval import AlignEvalError  # noqa: E402
from tests.models import architectures, families  # noqa: E402

FAULT = "a fault of the package: "
PAGE = ROOT / "docs" / "compatibility.md"
COLUMNS = ("align", "attention", "norms", "ALTI", "gradients", "infill", "translate")
TITLES = {"encoder": "Encoders", "seq2seq": "Encoder-decoder models", "decoder": "Decoder-only models"}
HEAD = """# Which architectures work

Names are those of `model_type` in a model's `config.json`. Made by `python experiments/compatibility.py`, which calls
the package on a tiny model with random weights of each architecture:

- **align**: vectors of words (`align`, `evaluate`); of an encoder-decoder model those of its encoder.
- **attention**: maps (`sweep`, `explore`, `align --attention`), equal to what the model gives out by
  `output_attentions=True`.
- **norms**, **ALTI**, **gradients**: the attribution methods `norms`, `alti` and `saliency`.
- **infill**: masked words filled in (`infill`). An encoder-decoder or decoder-only model must have been trained for it.
- **translate**: `translate`.

"yes" means that it works; a number stands for the reason below the table. Architectures that are not listed may well
work: attention, projections and norms are found in the modules, and `align_eval/models/adapters` has a file for each
architecture of which more is known (ALBERT, BERT and its kin, FSMT, M2M100, Marian). What also matters is a tokenizer
whose tokens can be traced to words.
"""


def aligned(kind: str) -> None:
    import torch

    from align_eval.models.vectors import vector_models

    for view, sentence in zip(
        vector_models(architectures.build(kind)), (["das", "Haus"], ["the", "house"]), strict=True
    ):
        (vectors,) = view.encode(view.tokenize([sentence]).ids, [1])
        assert bool(torch.isfinite(vectors).all())


def attributed(signal: str) -> Callable[[str], None]:
    def call(kind: str) -> None:
        import torch

        from align_eval import attention_maps, make_attribution

        model = architectures.build(kind)
        if signal == "saliency" and architectures.family_of(kind) == "encoder":
            model = filling(kind)
        (maps,) = attention_maps(make_attribution(signal, model), families.pairs()[:1], layers=1)
        assert bool(torch.isfinite(maps.values).all())

    return call


def filling(kind: str) -> Any:
    """The encoder with its head for masked words."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    from align_eval.models.encoder import Encoder
    from align_eval.models.masked import MaskedEncoder

    plain, tokenizer = architectures.parts(kind)
    if type(plain.config) not in MODEL_FOR_MASKED_LM_MAPPING:
        raise AlignEvalError(f"{kind} has no head that predicts masked words", remedy="Choose a masked language model")
    headed, _ = architectures.parts(kind, head=True)
    return MaskedEncoder(Encoder(kind, headed.base_model, tokenizer, masked_lm=headed))


def filled(kind: str) -> None:
    from align_eval import infill_pair
    from align_eval.infilling.probe import require_infiller

    family = architectures.family_of(kind)
    model = filling(kind) if family == "encoder" else require_infiller(architectures.build(kind))
    infill_pair(model, families.pairs()[0], [1], head=(1, 1))


def translated(kind: str) -> None:
    from align_eval.models.translation import Decoding, Translator

    Translator(architectures.build(kind), Decoding(max_length=6)).translate(["das Haus"])


CALLS: dict[str, Callable[[str], None]] = {
    "align": aligned, "attention": attributed("attention"), "norms": attributed("norms"), "ALTI": attributed("alti"),
    "gradients": attributed("saliency"), "infill": filled, "translate": translated,
}  # fmt: skip


def cell(column: str, kind: str) -> str:
    """``"yes"``, or the reason why not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            CALLS[column](kind)
        except AlignEvalError as error:
            return re.sub(rf"(?<![\w-]){re.escape(kind)}(?![\w-])( \(.*?\))?", "the model", error.message)
        except Exception as error:  # never meant to be: tests/experiments/test_compatibility.py fails on it
            return f"{FAULT}{type(error).__name__}: {str(error).splitlines()[0][:100]}"
    return "yes"


def row(kind: str) -> dict[str, str]:
    return {column: cell(column, kind) for column in COLUMNS}


def table(kinds: list[str], rows: dict[str, dict[str, str]]) -> list[str]:
    """A table, and the reasons that its cells name by number."""
    reasons: dict[str, int] = {}
    lines = ["| architecture | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for kind in kinds:
        found = [
            value if value == "yes" else str(reasons.setdefault(value, len(reasons) + 1))
            for value in rows[kind].values()
        ]
        lines.append(f"| {kind} | " + " | ".join(found) + " |")
    return [*lines, "", *[f"{number}. {reason[0].upper()}{reason[1:]}." for reason, number in reasons.items()]]


def page(rows: dict[str, dict[str, str]]) -> str:
    out = [HEAD]
    for family, title in TITLES.items():
        kinds = sorted(kind for kind in rows if architectures.family_of(kind) == family)
        out += [f"## {title}", "", *table(kinds, rows), ""] if kinds else []
    return "\n".join(out)


def main(kinds: list[str]) -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    every = kinds or [*architectures.ENCODERS, *architectures.SEQ2SEQ, *architectures.DECODERS]
    rows = {kind: row(kind) for kind in every}
    if kinds:
        print(page(rows)[len(HEAD) :])
    else:
        PAGE.write_text(page(rows), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
