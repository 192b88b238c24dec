"""The network behind the method ``refined``: a linear head over frozen states, and a small convolutional refiner.

States of a few layers of an encoder, unit length each, are projected to one vector a token. The cosines of two
sentences' tokens, pooled to words, become two distributions: over the target words and NULL for each source word, and
over the source words and NULL for each target word. Two 5 x 5 convolutions over them and over what the words look like
correct the scores, twice with the same weights. The score of a link is the mean of both probabilities.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from align_eval.corpora.words import is_punctuation
from align_eval.errors import FormatError, InputError, MissingFileError, UnknownNameError
from align_eval.files import StrPath, atomic_writer, data_folder, output_errors, parse_json

WEIGHTS, ABOUT, CARD = "refiner.safetensors", "refiner.json", "README.md"
# Channels of the refiner's input: score, both probabilities and their logarithms, distance from the diagonal, equal
# lower-cased forms, equal first four letters, punctuation on either side, ratio of lengths.
CHANNELS = 11
_LOWEST = -8.0  # of a logarithm of a probability


@dataclass(frozen=True)
class Shape:
    """What decides the form of a refiner's weights.

    Attributes:
        width: of one state of the encoder.
        layers: of the encoder, in the order in which their states are joined.
        dimensions: of the vector of a token.
        channels, kernel: of the convolutions; no channels: the cosines are all there is.
        steps: how often the refiner is applied.
        lexical: the refiner sees spelling and punctuation; ``place``: the distance from the diagonal; ``null``: words
            can be without a link. All but for experiments that leave one out.
    """

    width: int
    layers: tuple[int, ...]
    dimensions: int = 384
    channels: int = 16
    kernel: int = 5
    steps: int = 2
    lexical: bool = True
    place: bool = True
    null: bool = True


class Beliefs(NamedTuple):
    """What a refiner gives of B pairs of at most M and N words; 0 (or the lowest logarithm) in the padding.

    Attributes:
        rows, columns: ``(B, M, N)`` log probabilities: of a target word for each source word, and the other way round.
        source_null, target_null: ``(B, M)``, ``(B, N)`` log probabilities that a word has no link.
    """

    rows: Tensor
    columns: Tensor
    source_null: Tensor
    target_null: Tensor

    @property
    def links(self) -> Tensor:
        """The probability of each link, the mean of both directions, ``(B, M, N)`` in 0..1."""
        return (self.rows.exp() + self.columns.exp()) / 2


class Looks(NamedTuple):
    """What the words of one side of B pairs look like, padded with -1: ``(B, M)`` int64 each.

    Numbers of the lower-cased form, of its first four letters, and whether it is punctuation (0 or 1).
    """

    form: Tensor
    start: Tensor
    punctuation: Tensor

    @classmethod
    def of(cls, sentences: Sequence[Sequence[str]], numbers: dict[str, int]) -> Looks:
        """The looks of sentences; ``numbers`` gives equal text of both sides the same number, and grows."""
        width = max(map(len, sentences), default=0)
        found = np.full((3, len(sentences), width), -1, dtype=np.int64)
        known: dict[str, tuple[int, int, int]] = {}
        for k, sentence in enumerate(sentences):
            for i, word in enumerate(sentence):
                if (look := known.get(word)) is None:
                    form = word.lower()
                    look = known[word] = (
                        numbers.setdefault(form, len(numbers)),
                        numbers.setdefault(form[:4], len(numbers)),
                        int(is_punctuation(word)),
                    )
                found[:, k, i] = look
        return cls(*torch.from_numpy(found))


class Refiner(nn.Module):
    """Head and refiner; a new one gives the mean of the layers' states and changes no score."""

    def __init__(self, shape: Shape, device: str = "cpu") -> None:
        super().__init__()
        self.shape = shape
        joined = shape.width * len(shape.layers)
        eye = torch.eye(shape.dimensions, shape.width, device=device) / math.sqrt(len(shape.layers))
        self.head = nn.Parameter(eye.repeat(1, len(shape.layers)))  # (dimensions, layers * width)
        assert self.head.shape[1] == joined
        self.scale = nn.Parameter(torch.tensor(18.0, device=device))
        self.threshold = nn.Parameter(torch.tensor(0.7, device=device))
        if shape.channels:
            size: dict[str, Any] = {"kernel_size": shape.kernel, "padding": shape.kernel // 2, "device": device}
            self.first = nn.Conv2d(CHANNELS, shape.channels, **size)
            self.second = nn.Conv2d(shape.channels, shape.channels, **size)
            self.last = nn.Conv2d(shape.channels, 1, **size)
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def tokens(self, states: Tensor) -> Tensor:
        """Unit vectors of tokens ``(..., dimensions)`` from their states ``(..., layers, width)`` of any float type."""
        width = states.shape[-1]
        out: Tensor | float = 0.0
        for k in range(states.shape[-2]):  # the product with all layers joined, without joining them
            own = states[..., k, :].to(self.head.dtype)
            length = torch.linalg.vector_norm(own, dim=-1, keepdim=True).clamp(min=1e-12)
            out = out + (own @ self.head[:, k * width : (k + 1) * width].T) / length
        assert isinstance(out, Tensor)
        return F.normalize(out, dim=-1)

    def cosines(
        self, source: Tensor, target: Tensor, source_words: Tensor, target_words: Tensor, counts: tuple[int, int]
    ) -> Tensor:
        """Cosines of words, ``(B, M, N)``: of their token pairs the mean of the greatest and the average.

        Args:
            source, target: vectors of tokens, ``(B, tokens, dimensions)``.
            source_words, target_words: the word of each token ``(B, tokens)`` int64; -1 in the padding.
            counts: M and N.
        """
        rows, columns = counts
        between = source @ target.transpose(1, 2)
        outside = (source_words < 0)[:, :, None] | (target_words < 0)[:, None, :]
        values = between.masked_fill(outside, -2.0)
        index = source_words.clamp(min=0)[:, :, None].expand_as(values)
        by_row = values.new_full((len(values), rows, values.shape[2]), -2.0)
        by_row = by_row.scatter_reduce(1, index, values, "amax")
        index = target_words.clamp(min=0)[:, None, :].expand(-1, rows, -1)
        greatest = values.new_full((len(values), rows, columns), -2.0).scatter_reduce(2, index, by_row, "amax")
        # The average over token pairs is the product of the words' average vectors.
        return (greatest + _averages(source, source_words, rows) @ _averages(target, target_words, columns).mT) / 2

    def forward(self, cosines: Tensor, source: Looks, target: Looks, rows: Tensor, columns: Tensor) -> Beliefs:
        """Refine.

        Args:
            cosines: of words, ``(B, M, N)``.
            source, target: what the words look like.
            rows, columns: bool ``(B, M)`` and ``(B, N)``: true where a word is that has tokens.
        """
        scores = self.scale * cosines
        cells = rows[:, :, None] & columns[:, None, :]
        null = self.scale * self.threshold if self.shape.null else scores.new_tensor(-1e4)
        beliefs = _beliefs(scores, null, cells)
        if not self.shape.channels:
            return beliefs
        inside = cells[:, None].to(scores.dtype)
        fixed = self._fixed(source, target, rows, columns).to(scores.dtype)
        level = self.scale * self.threshold
        for _ in range(self.shape.steps):
            moving = [
                (scores - level) / 5, beliefs.rows.exp(), beliefs.columns.exp(),
                beliefs.rows.clamp(min=_LOWEST) / 4, beliefs.columns.clamp(min=_LOWEST) / 4,
            ]  # fmt: skip
            found = torch.cat([torch.stack(moving, dim=1), fixed], dim=1) * inside
            found = F.gelu(self.first(found)) * inside
            found = F.gelu(self.second(found)) * inside
            scores = scores + 3 * self.last(found)[:, 0]
            beliefs = _beliefs(scores, null, cells)
        return beliefs

    def _fixed(self, source: Looks, target: Looks, rows: Tensor, columns: Tensor) -> Tensor:
        """The channels that do not change: ``(B, 6, M, N)``."""
        sizes = [side.sum(dim=1).clamp(min=1)[:, None] for side in (source.form >= 0, target.form >= 0)]  # (B, 1)
        places = [torch.arange(side.shape[1], device=side.device) / size for side, size in zip((rows, columns), sizes)]  # noqa: B905
        shape = (*rows.shape, columns.shape[1])
        ratio = (sizes[0] / sizes[1]).log()[:, :, None].expand(shape)
        channels = [
            (places[0][:, :, None] - places[1][:, None, :]).abs() * float(self.shape.place),
            (source.form[:, :, None] == target.form[:, None, :]).float(),
            (source.start[:, :, None] == target.start[:, None, :]).float(),
            (source.punctuation == 1).float()[:, :, None].expand(shape),
            (target.punctuation == 1).float()[:, None, :].expand(shape),
            ratio,
        ]
        if not self.shape.lexical:
            channels[1:5] = [torch.zeros_like(channels[0])] * 4
        return torch.stack(channels, dim=1)


def _averages(vectors: Tensor, words: Tensor, count: int) -> Tensor:
    """Average vector of the tokens of each word, ``(B, count, d)``; 0 of a word without tokens."""
    belongs = (words[:, None, :] == torch.arange(count, device=words.device)[None, :, None]).to(vectors.dtype)
    return (belongs / belongs.sum(dim=2, keepdim=True).clamp(min=1)) @ vectors


def _beliefs(scores: Tensor, null: Tensor, cells: Tensor) -> Beliefs:
    """Softmax over each row with NULL, and over each column with NULL; ``cells`` is false where no words meet."""
    masked = scores.masked_fill(~cells, -1e9)
    by_row = torch.logaddexp(masked.logsumexp(dim=2), null)  # (B, M)
    by_column = torch.logaddexp(masked.logsumexp(dim=1), null)  # (B, N)
    return Beliefs(masked - by_row[:, :, None], masked - by_column[:, None, :], null - by_row, null - by_column)


@dataclass(frozen=True)
class TrainedRefiner:
    """A refiner with what is known of it: of a folder that ``align-eval train`` writes, or of the package.

    Attributes:
        name: ``free``, or the name of its folder.
        network: the weights, on the CPU.
        threshold: the probability above which a pair of words is linked, chosen on development data.
        encoder: name and ``revision`` of the model whose states it reads.
        lone_marks: how lone marks of word starts were treated in training, see
            :func:`align_eval.models.tokens.without_lone_marks`.
        data: what it was trained on: rows with ``name``, ``sha256``, ``pairs``, ``licence``.
        trained_on: the same in few words, for signatures: names as they were given, joined by ``+``.
        sha256: of the file of weights.
    """

    name: str
    network: Refiner
    threshold: float
    encoder: str
    revision: str
    lone_marks: str
    data: tuple[dict[str, Any], ...]
    trained_on: str
    sha256: str = ""


def save_refiner(refiner: TrainedRefiner, folder: StrPath) -> TrainedRefiner:
    """Write weights (int8 with a scale for each row, the rest float16) and what is known of them; give what was kept.

    What is returned has the weights as they are read again.
    """
    from safetensors.torch import save

    path = Path(folder)
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().float().contiguous() for key, value in refiner.network.state_dict().items()}
    head = state.pop("head")
    scales = (head.abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-12)
    kept = {key: value.to(torch.float16) for key, value in state.items()}
    kept["head"] = (head / scales).round().to(torch.int8)
    kept["head.scales"] = scales
    weights = save(kept)
    with atomic_writer(path / WEIGHTS, "wb") as stream:
        stream.write(weights)  # type: ignore[arg-type]
    about = {
        "encoder": refiner.encoder,
        "revision": refiner.revision,
        "threshold": refiner.threshold,
        "lone_marks": refiner.lone_marks,
        "shape": asdict(refiner.network.shape),
        "trained_on": refiner.trained_on,
        "data": list(refiner.data),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    with atomic_writer(path / ABOUT) as stream:
        stream.write(json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    return load_refiner(path, name=refiner.name)


def load_refiner(folder: StrPath, name: str = "") -> TrainedRefiner:
    """Read a folder that :func:`save_refiner` wrote.

    Raises:
        MissingFileError: no such folder, or a file is missing in it.
        FormatError: a file is cut short, is none of ours, or the weights are not those it was written with.
    """
    path = Path(folder)
    remedy = "Train one with align-eval train, or copy its folder again"
    for file in (ABOUT, WEIGHTS):
        if not (path / file).is_file():
            raise MissingFileError(f"is no folder of a trained aligner: it has no {file}", file=path, remedy=remedy)
    weights = (path / WEIGHTS).read_bytes()
    try:
        about = parse_json((path / ABOUT).read_bytes())
        known = {f.name for f in fields(Shape)}
        given: dict[str, Any] = {key: value for key, value in about["shape"].items() if key in known}
        shape = Shape(**{**given, "layers": tuple(given["layers"])})
        threshold, data = float(about["threshold"]), tuple(about["data"])
        texts = {key: str(about[key]) for key in ("encoder", "revision", "lone_marks", "trained_on", "sha256")}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FormatError("is not what align-eval train writes", file=path / ABOUT, remedy=remedy) from None
    sha256 = hashlib.sha256(weights).hexdigest()
    if sha256 != texts["sha256"]:
        raise FormatError(
            f"has the sha256 {sha256[:12]}..., {ABOUT} names {texts['sha256'][:12]}...", file=path / WEIGHTS,
            remedy=remedy,
        )  # fmt: skip
    network = _network(weights, shape, path / WEIGHTS, remedy)
    return TrainedRefiner(name or path.resolve().name, network, threshold, data=data, **texts)


def _network(weights: bytes, shape: Shape, file: Path, remedy: str) -> Refiner:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(weights)
        network = Refiner(shape, device="meta")  # on a device it would draw numbers of the user's generator
        state["head"] = state["head"].float() * state.pop("head.scales").float()
        network.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise FormatError(f"does not hold the weights of this refiner: {error}", file=file, remedy=remedy) from None
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise FormatError("has NaN or infinity among its weights", file=file, remedy=remedy)
    return network.eval().requires_grad_(False)


def packaged_refiners() -> list[str]:
    """The names of the refiners that come with the package."""
    return sorted(path.parent.name for path in (data_folder() / "refiners").glob(f"*/{ABOUT}"))


def find_refiner(name: str, path: str, encoder: Any) -> TrainedRefiner:
    """The refiner of a folder, else the packaged one of that name, for an encoder.

    Raises:
        UnknownNameError: the package has none of that name.
        InputError: it reads the states of another encoder.
        MissingFileError, FormatError: see :func:`load_refiner`.
    """
    if path:
        refiner = load_refiner(path)
    elif name not in packaged_refiners():
        raise UnknownNameError("refiner", name, packaged_refiners())
    else:
        refiner = load_refiner(data_folder() / "refiners" / name, name=name)
    check_encoder(refiner, encoder)
    return refiner


def check_encoder(refiner: TrainedRefiner, encoder: Any) -> None:
    """Raise :class:`InputError` unless the refiner was trained on the states of this encoder."""
    shape = refiner.network.shape
    mine = (str(encoder.name), str(getattr(encoder, "revision", "")))
    same = mine[1] == refiner.revision if mine[1] and refiner.revision else mine[0] == refiner.encoder
    if not same or encoder.hidden_size != shape.width or max(shape.layers) > encoder.layers:
        raise InputError(
            f"the refiner {refiner.name} reads the states of {refiner.encoder} (revision {refiner.revision or 'none'}, "
            f"width {shape.width}), not of {mine[0]} (revision {mine[1] or 'none'}, width {encoder.hidden_size})",
            remedy=f"Use --model {refiner.encoder}, or train one for this model: align-eval train --model {mine[0]}",
        )
