"""One sentence pair, unmasked and with words masked: what the paired heatmaps and their summary are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from align_eval.attribution.matrix import ScoreMatrix, View
from align_eval.corpora import Corpus, SentencePair
from align_eval.errors import InputError
from align_eval.figures.heatmap import paired_heatmaps
from align_eval.infilling.measures import InfillResult
from align_eval.infilling.probe import TOP, checked_heads, default_head, infill_with_maps, require_infiller
from align_eval.infilling.strategies import masked_words
from align_eval.report.infilling import summarise_infilling
from align_eval.report.summary import Summary
from align_eval.runs.infill import ChosenHead, check_words, chosen_head
from align_eval.runs.infill_work import InfillWork
from align_eval.runs.sweep import for_testset, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class PairInfilling:
    """A pair with one set of masked words.

    Attributes:
        result: rows between words, and the model's predictions; one head, one variant.
        full, masked: the maps between tokens, on the same axes, without and with the words masked: rows are target
            tokens (masked ones are labelled ``[MASK]``), columns all tokens of the source with the special ones. Of an
            encoder the columns are the source's words alone, and each row is divided by its mass on them.
        chosen: the head and the rule that it was chosen by.
        kind: what the links of the pair are: ``"gold"`` or ``"silver"``.
    """

    result: InfillResult
    full: ScoreMatrix
    masked: ScoreMatrix
    chosen: ChosenHead
    model: str
    kind: str = "gold"

    def summary(self) -> Summary:
        """What the two maps show, computed."""
        return summarise_infilling(self.result, self.kind, self.model, self.chosen.rule)

    def figure(self, *, words: bool = False, **options: Any) -> Figure:
        """The paired heatmaps, with frames around the cells of links.

        ``words``: rows and columns are words, not tokens; mass on what is no word is left out then. ``options``:
        ``difference``, ``arrangement``, ``width``, ... of :func:`align_eval.paired_heatmaps`.
        """
        head = self.chosen.head
        full, masked = (self.full.words(), self.masked.words()) if words else (self.full, self.masked)
        given: dict[str, Any] = {
            "titles": ("unmasked", "words masked"), "masked_words": ((), self.result.variants[0].masked),
            "quantity": self.full.quantity, "model": self.model, "head": f"layer {head.layer}, head {head.head}",
            "rule": self.chosen.rule, "gold": self.result.pair.gold, "gold_name": self.kind,
        }  # fmt: skip
        return paired_heatmaps(full, masked, **{**given, **options})


def infill_pair(
    model: Any,
    pair: SentencePair,
    masked: Sequence[int],
    *,
    head: tuple[Any, ...] | ChosenHead | None = None,
    top: int = TOP,
    kind: str = "gold",
) -> PairInfilling:
    """Run a model on a pair unmasked and with words masked, in one forward pass.

    Args:
        model: of :func:`align_eval.load_model`, one that was trained to fill masked words.
        masked: the masked target words, 0-based.
        head: layer and head, from 1 or ``"mean"``; ``None``: the one guided in training, or the model's default.
        top: fillings kept for each masked word.
        kind: what its links are, ``"gold"`` or ``"silver"``.

    Raises:
        InputError, ModelError: as :func:`align_eval.infill`.
    """
    reader = require_infiller(model)
    if head is None:
        head = ChosenHead(*default_head(reader))
    elif not isinstance(head, ChosenHead):
        head = ChosenHead(View(head[0], head[1], reader.infill_reading), "given by name")
    (view,) = checked_heads(reader, [head.head])
    return PairInfilling(*infill_with_maps(reader, pair, masked, view, top), head, reader.name, kind)


def run_pair(
    corpus: Corpus,
    number: int,
    mask: str,
    model: Any,
    *,
    head: tuple[Any, Any] | None = None,
    rule: str = "given by name",
    development: float = 0.2,
    seed: int = 12345,
    token_budget: int | None = None,
    choose_by: str = "masked",
) -> PairInfilling:
    """Mask words of one pair of a corpus.

    The head is the one given; else chosen on a dev split, if the corpus is more than that pair and has gold links;
    else the one guided in training, or the model's default.

    Args:
        number: which pair, 0-based.
        mask: which target words, see :func:`align_eval.infilling.strategies.masked_words`.
        model: as of :func:`infill_pair`; takes the languages of the corpus.
        head: layer and head, from 1 or ``"mean"``; ``rule``: how it was chosen.
        development, seed, token_budget, choose_by: see :func:`align_eval.infill_testset`.

    Raises:
        InputError: no such pair, words that cannot be masked, and what :func:`infill_pair` raises.
    """
    check_words(corpus)
    if not 0 <= number < len(corpus):
        raise InputError(f"{corpus.base_name} has {len(corpus)} sentence pairs, not a pair {number + 1}")
    pair = corpus.pairs[number]
    masked = masked_words(mask, pair, language=corpus.target_language, seed=seed)
    reader = require_infiller(for_testset(model, corpus))
    chosen = None
    if head is not None:
        chosen = ChosenHead(View(*head, reader.infill_reading), rule)
    elif len(corpus) > 1 and corpus.table is not None:
        numbers = split(len(corpus), development, seed)[0].tolist() if choose_by != "model" else []
        work = InfillWork(corpus, reader, numbers=numbers, token_budget=token_budget)
        chosen = chosen_head(work, None, development, seed, choose_by)
        if chosen.development:
            among = "one of them" if number in chosen.development else "not one of them"
            chosen = replace(chosen, rule=f"{chosen.rule}; this pair is {among}")
    return infill_pair(reader, pair, masked, head=chosen, kind=corpus.gold_kind)
