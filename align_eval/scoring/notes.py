"""What a person should know beside the numbers of a score: what was left out, counts as wrong, is undefined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from align_eval.corpora.raw_links import LinkReport
from align_eval.scoring.score import Score

_TITLES = {"aer": "AER", "precision": "precision", "recall": "recall", "f1": "F1"}


def reading_notes(report: LinkReport, nulls: str = "drop") -> Iterator[str]:
    """What was left out of a file, or put in, when it was read."""
    if report.nulls:
        done = "counted as links" if nulls == "count" else "left out"
        yield f"{report.file}: {report.nulls} null links {done}"
    if report.out_of_range:
        yield f"{report.out_of_range} links out of range left out: {report.first_out_of_range}"
    for note in report.notes:
        yield f"{report.file}: {note}"


def unannotated_notes(pairs: int, sentences: int, links: Mapping[str, int], policy: str) -> Iterator[str]:
    """Sentence pairs without any gold link, and what that does.

    Args:
        pairs: how many there are.
        sentences: the number of all sentence pairs.
        links: number of links there, by system.
        policy: ``count`` or ``skip``.
    """
    if not pairs:
        return
    start = f"{pairs} of {sentences} sentence pairs {'has' if pairs == 1 else 'have'} no gold link"
    wrong = [f"{number} of {name}" for name, number in links.items() if number]
    if policy == "skip":
        yield f"{start} and {'is' if pairs == 1 else 'are'} left out"
    elif wrong:
        yield (
            f"{start}; links there count as wrong: {', '.join(wrong)}. To leave these pairs out pass "
            "--unannotated skip (unannotated='skip' in Python)"
        )
    else:
        yield start


def score_notes(name: str, score: Score) -> Iterator[str]:
    """Measures of a system that are undefined, and resamples that are left out."""
    if not score.sure and not score.links:
        yield f"{name}: the gold has no sure link and no link is proposed: AER is 0 by convention, the rest undefined"
    elif not score.links:
        yield f"{name}: no link is proposed: precision and F1 are undefined"
    elif not score.sure:
        yield f"{name}: the gold has no sure link: recall and F1 are undefined"
    out = {title: score.left_out[key] for key, title in _TITLES.items() if key in score.left_out}
    if out:
        told = ", ".join(f"{title} {number}" for title, number in out.items())
        yield f"{name}: resamples in which a measure is undefined, left out of its interval: {told}"
