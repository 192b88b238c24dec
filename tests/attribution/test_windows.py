"""Overlapping windows: every unit is covered, and its vector comes from the window that shows most around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align_eval.attribution.similarity import encode_in_windows, owners, window_starts
from align_eval.models.vectors import Vectors

LENGTHS = st.integers(0, 120)
WINDOWS = st.integers(1, 40)


@given(LENGTHS, WINDOWS)
@settings(deadline=None)
def test_windows_cover_all_units_and_overlap_by_half(length: int, window: int) -> None:
    starts = window_starts(length, window)
    assert starts[0] == 0
    if length <= window:
        assert starts == [0]
        return
    assert starts[-1] + window == length  # the last window is full
    steps = np.diff(starts)
    assert (steps >= 1).all()
    assert (steps <= max(window // 2, 1)).all()


@given(LENGTHS.filter(bool), WINDOWS)
@settings(deadline=None)
def test_each_unit_is_owned_by_the_window_with_most_context(length: int, window: int) -> None:
    starts = window_starts(length, window)
    owner = owners(length, [(start, min(start + window, length)) for start in starts])
    assert len(owner) == length
    assert (np.diff(owner) >= 0).all()  # so that the parts of the windows follow each other
    for unit, own in enumerate(owner.tolist()):
        margins = []
        for start in starts:
            left = unit - start if start > 0 else length
            right = start + window - 1 - unit if start + window < length else length
            margins.append(min(left, right) if start <= unit < start + window else -1)
        assert margins[own] == max(margins) >= 0
        # Overlap by half: at least about a quarter of a window on each side that is not the sentence's end.
        assert length <= window or margins[own] >= (window // 2 - 1) // 2


class Encoder:
    """Gives each unit its id and the first id of the piece that it was read in, at two layers."""

    def __init__(self) -> None:
        self.pieces: list[list[int]] = []

    def __call__(self, sentences: Sequence[np.ndarray]) -> Vectors:
        self.pieces += [ids.tolist() for ids in sentences]
        found = []
        for ids in sentences:
            own = torch.tensor(ids)
            layer = torch.stack([own, torch.full_like(own, int(ids[0]) if len(ids) else 0)], dim=1)
            found.append(torch.stack([layer, layer + 1000]))
        lengths = np.array([len(ids) for ids in sentences], dtype=np.int64)
        values = torch.cat(found, dim=1) if found else torch.zeros(2, 0, 2)
        return Vectors(values, np.cumsum(lengths) - lengths, lengths)


@given(st.lists(st.integers(0, 60), max_size=4), st.integers(1, 25))
@settings(deadline=None)
def test_vectors_come_from_the_best_window(lengths: list[int], window: int) -> None:
    encoder = Encoder()
    sentences = [np.arange(length) for length in lengths]
    values, rows = encode_in_windows(encoder, sentences, window)
    found = [values[:, own] for own in rows]
    assert max(map(len, encoder.pieces), default=0) <= window
    for length, vectors in zip(lengths, found, strict=True):
        assert vectors.shape == (2, length, 2)
        assert vectors[0, :, 0].tolist() == list(range(length))
        assert torch.equal(vectors[1], vectors[0] + 1000)
        if length:
            starts = np.array(window_starts(length, window))
            assert (
                vectors[0, :, 1].tolist()
                == starts[owners(length, [(s, min(s + window, length)) for s in starts])].tolist()
            )


@pytest.mark.parametrize(("length", "pieces"), [(19, 1), (20, 1), (21, 2), (30, 2), (31, 3)])
def test_a_sentence_of_the_windows_length_is_encoded_whole(length: int, pieces: int) -> None:
    encoder = Encoder()
    encode_in_windows(encoder, [np.arange(length)], 20)
    assert len(encoder.pieces) == pieces
    if pieces == 1:
        assert encoder.pieces == [list(range(length))]


def test_all_pieces_go_to_the_encoder_in_one_call() -> None:
    calls = []
    encoder = Encoder()

    def encode(sentences: Sequence[np.ndarray]) -> Vectors:
        calls.append(len(sentences))
        return encoder(sentences)

    encode_in_windows(encode, [np.arange(5), np.arange(30), np.arange(10)], 10)
    assert calls == [1 + 5 + 1]
