"""One sentence pair, whole and with words hidden: what the paired heatmaps and their summary are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError
from align_eval.infilling.measures import InfillResult
from align_eval.infilling.probe import checked_heads, default_head, infill_with_maps, require_infiller
from align_eval.infilling.strategies import masked_words
from align_eval.runs.infill import ChosenView, pick_view
from align_eval.runs.sweep import for_testset
from align_eval.signals.matrix import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from align_eval.corpora import Corpus, SentencePair
    from align_eval.figures.heatmap import Arrangement
    from align_eval.figures.style import Width
    from align_eval.report.summary import Summary
    from align_eval.signals.matrix import ScoreMatrix

TOP = 5


@dataclass(frozen=True)
class PairInfilling:
    """A pair with one set of hidden words.

    Attributes:
        result: rows between words, and what the model fills in; one view, one variant.
        full, masked: the maps between sub-words, on the same axes; the second with the words hidden.
        chosen: the view and the rule that it was chosen by.
        model: name of the model.
        kind: what the links of the pair are: ``"gold"`` or ``"silver"``.
    """

    result: InfillResult
    full: ScoreMatrix
    masked: ScoreMatrix
    chosen: ChosenView
    model: str
    kind: str = "gold"

    @property
    def hidden(self) -> tuple[int, ...]:
        """The hidden target words, 0-based."""
        return self.result.variants[0].masked

    def summary(self) -> Summary:
        """What the two maps say, computed."""
        from align_eval.report.infilling import summarise_infilling

        return summarise_infilling(self.result, gold_name=self.kind, model=self.model, rule=self.chosen.rule)

    def figure(
        self,
        *,
        words: bool = False,
        gold: bool = True,
        difference: bool = False,
        arrangement: Arrangement = "stacked",
        width: Width | None = None,
        names: tuple[str, str] = ("", ""),
    ) -> Figure:
        """The paired heatmaps.

        Args:
            words: rows and columns are words, not sub-words; weight on what is no word is left out then.
            gold: frame the cells of links, if the pair has any.
            difference: a third map, words hidden less nothing hidden.
            arrangement, width: see :func:`align_eval.paired_heatmaps`.
            names: what the rows and the columns are, such as their languages.
        """
        from align_eval.figures.heatmap import paired_heatmaps

        pair, view = self.result.pair, self.chosen.view
        full, masked = (self.full.words(), self.masked.words()) if words else (self.full, self.masked)
        links = pair.gold if gold else None
        return paired_heatmaps(
            full,
            masked,
            titles=("unmasked", "words masked"),
            masked_words=((), self.hidden),
            quantity=self.full.quantity,
            model=self.model,
            head=f"layer {view.layer}, head {view.head}",
            rule=self.chosen.rule,
            rows=names[0],
            columns=names[1],
            gold=links,
            gold_name=self.kind,
            difference=difference,
            arrangement=arrangement,
            width=width,
        )


def infill_pair(
    model: Any,
    pair: SentencePair,
    masked: Sequence[int],
    *,
    chosen: ChosenView | None = None,
    top: int = TOP,
    kind: str = "gold",
) -> PairInfilling:
    """Run a model on a pair whole and with words hidden.

    Args:
        model: see :func:`align_eval.infilling.probe.require_infiller`.
        pair: the pair.
        masked: the hidden target words, 0-based.
        chosen: the view and its rule; ``None``: :func:`usual_view`.
        top: fillings kept for each hidden word.
        kind: what its links are, ``"gold"`` or ``"silver"``.

    Raises:
        InputError, ModelError: as :func:`align_eval.infilling.probe.infill`.
    """
    reader = require_infiller(model)
    view = usual_view(reader) if chosen is None else chosen
    (head,) = checked_heads(reader, [view.view])
    return PairInfilling(*infill_with_maps(reader, pair, masked, head, top), view, reader.name, kind)


def run_pair(
    corpus: Corpus,
    number: int,
    mask: str,
    model: Any,
    *,
    view: tuple[Any, Any] | None = None,
    rule: str = "given by name",
    development: float = 0.2,
    seed: int = 12345,
    token_budget: int | None = None,
    top: int = TOP,
    choose_by: str = "masked",
) -> PairInfilling:
    """Hide words of one pair of a corpus.

    The view is the one given; else chosen on a development part, if the corpus is more than that pair and has gold
    links; else :func:`usual_view`.

    Args:
        corpus: pairs and languages.
        number: which pair, 0-based.
        mask: which target words, see :func:`align_eval.infilling.strategies.masked_words`.
        model: see :func:`align_eval.infilling.probe.require_infiller`; takes the languages of the corpus.
        view: layer and head, from 1 or ``"mean"``; ``rule``: how it was chosen.
        development, seed, token_budget, choose_by: see :func:`align_eval.runs.infill.infill_testset`.
        top: fillings kept for each hidden word.

    Raises:
        InputError: no such pair, words that cannot be hidden, and what :func:`infill_pair` raises.
    """
    if not 0 <= number < len(corpus.pairs):
        raise InputError(f"{corpus.base_name} has {len(corpus.pairs)} sentence pairs, not a pair {number + 1}")
    pair = corpus.pairs[number]
    masked = masked_words(mask, pair, language=corpus.target_language, seed=seed)
    reader = require_infiller(for_testset(model, corpus))
    if view is not None:
        chosen = ChosenView(View(*view[:2], reader.infill_reading), rule)
    elif len(corpus.pairs) > 1 and corpus.table is not None:
        found = pick_view(corpus, reader, None, development, seed, token_budget=token_budget, choose_by=choose_by)
        among = "one of them" if number in found.development else "not one of them"
        chosen = replace(found, rule=f"{found.rule}; this pair is {among}") if found.development else found
    else:
        chosen = usual_view(reader)
    return infill_pair(reader, pair, masked, chosen=chosen, top=top, kind=corpus.gold_kind)


def usual_view(model: Any) -> ChosenView:
    """The view that needs no gold, :func:`align_eval.infilling.probe.default_head`, with its rule in words."""
    reader = require_infiller(model)
    return ChosenView(*default_head(reader))
