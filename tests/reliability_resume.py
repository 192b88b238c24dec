"""The resume matrix: what decides the output is changed between an interrupted run and the one that continues it.

Each change is refused with a typed error, or the work is done anew: no output holds parts of both. The model is a copy
of the packaged ``tiny-deen``, whose files are changed. ``python tests/reliability_resume.py`` prints a row a change.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

Row = tuple[str, str, str]
"""Writer, what was changed, what came of it: ``refused``, ``anew`` or ``continued``."""
PAIRS, BLOCK = 24, 8


class Interruption(Exception):
    """As good as a kill for a writer: it closes nothing more than the system would."""


@dataclass
class Setting:
    """What decides an output."""

    folder: Path
    pairs: list[Any]
    method: str = "argmax"
    beam: int = 1
    device: str = "cpu"
    model: Path = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.folder / "model"


def _model(setting: Setting) -> Any:
    import align_eval as ae

    languages: Any = {"source_language": "de", "target_language": "en"}
    return ae.load_model(str(setting.model), device=setting.device, **languages)


def _testset(pairs: Sequence[Any], name: str = "own") -> Any:
    import align_eval as ae

    return ae.make_testset([(p.source, p.target) for p in pairs], [p.gold for p in pairs], name=name)


def _until(pairs: Sequence[Any], stop: int | None) -> Iterator[Any]:
    for k, pair in enumerate(pairs):
        if k == stop:
            raise Interruption
        yield pair


def _align(setting: Setting, out: Path, stop: int | None, shard_lines: int | None) -> None:
    from align_eval.aligners import AlignerSettings, make_aligner
    from align_eval.runs import align_file as module

    aligner = make_aligner(AlignerSettings(_model(setting), (setting.method,), (2,)))
    with mock.patch.object(module, "BLOCK", BLOCK):
        module.align_file(aligner, _until(setting.pairs, stop), out / "a.talp", shard_lines=shard_lines)


def align(setting: Setting, out: Path, stop: int | None) -> None:
    _align(setting, out, stop, None)


def align_in_shards(setting: Setting, out: Path, stop: int | None) -> None:
    _align(setting, out, stop, BLOCK)


def translate(setting: Setting, out: Path, stop: int | None) -> None:
    from align_eval.models.translation import Decoding, Translator
    from align_eval.runs.parallel_text import open_text
    from align_eval.translation import translate as module

    translator = Translator(_model(setting), Decoding(beam=setting.beam, max_length=8))
    whole, calls = translator.translate, iter(range(100))

    def translated(*arguments: Any, **more: Any) -> Any:
        if stop is not None and next(calls) * BLOCK >= stop:
            raise Interruption
        return whole(*arguments, **more)

    with mock.patch.object(module, "BLOCK", BLOCK), mock.patch.object(translator, "translate", translated):
        module.translate_text(open_text(_testset(setting.pairs)), translator, path=out / "t.jsonl")


def run_recipe(setting: Setting, out: Path, stop: int | None) -> None:
    """Two own test sets; the interruption comes between them."""
    from align_eval.runs.experiments import Watch, evaluate, read_experiment

    names = [_testset(setting.pairs[k * 12 : (k + 1) * 12], f"part-{k}") for k in range(2)]
    recipe = setting.folder / "recipe.toml"
    recipe.write_text(
        f'name = "r"\nkind = "evaluate"\ntestsets = ["part-0", "part-1"]\nmethods = ["{setting.method}"]\n'
        f'layers = "2"\nmodel = {json.dumps(str(setting.model))}\nresamples = 10\n',
        encoding="utf-8",
    )
    whole, calls = evaluate.evaluate_testset, iter(range(100))

    def evaluated(*arguments: Any, **more: Any) -> Any:
        if stop is not None and next(calls) == 1:
            raise Interruption
        return whole(*arguments, **more)

    with (
        mock.patch.object(evaluate, "evaluate_testset", evaluated),
        mock.patch("align_eval.runs.experiments.load_testset", lambda name: names[int(name[-1])]),
    ):
        read_experiment(recipe).run(out, Watch())


def plot_pairs(setting: Setting, out: Path, stop: int | None) -> None:
    from align_eval.aligners import AlignerSettings, make_aligner
    from align_eval.runs.pair_figures import align_set, draw_pairs

    made = _testset(setting.pairs)
    aligner = make_aligner(AlignerSettings(_model(setting), (setting.method,), (2,)))
    (item,) = align_set(made, aligner)
    draw_pairs(
        item, out, numbers=range(1, 3 if stop is None else 2), format="svg", made_by=aligner.describe(),
        strength=lambda pair: aligner.word_map(pair, 2),
    )  # fmt: skip
    if stop is not None:
        raise Interruption


WRITERS: dict[str, Callable[[Setting, Path, int | None], None]] = {
    "align": align, "align in shards": align_in_shards, "translate": translate, "run": run_recipe,
    "plot pairs": plot_pairs,
}  # fmt: skip


def _edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def _weights(setting: Setting) -> Setting:
    from safetensors.torch import load_file, save_file

    path = setting.model / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if tensor.dim() == 2:
            tensors[name] = tensor.roll(1, 0)
    save_file(tensors, path, {"format": "pt"})
    return setting


def _config(setting: Setting) -> Setting:
    _edit(setting.model / "config.json", lambda config: config.update(activation_function="gelu"))
    return setting


def _tokenizer(setting: Setting) -> Setting:
    def swap(vocabulary: dict[str, Any]) -> None:
        one, other = [word for word in vocabulary if re.fullmatch("▁[a-z]{2,}", word)][:2]
        vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]

    _edit(setting.model / "vocab.json", swap)
    return setting


def _input(setting: Setting) -> Setting:
    """The first pair and the last change their places: same size, and same times for whoever compares those."""
    first, *rest, last = setting.pairs
    return replace(setting, pairs=[last, *rest, first])


CHANGES: dict[str, Callable[[Setting], Setting]] = {
    "nothing": lambda setting: setting,
    "input": _input,
    "weights": _weights,
    "configuration": _config,
    "tokenizer": _tokenizer,
    "option": lambda setting: replace(setting, method="itermax", beam=2),
    "version": lambda setting: setting,
    "device": lambda setting: replace(setting, device="cuda"),
}


@contextlib.contextmanager
def _changed(what: str) -> Iterator[None]:
    """The surroundings of a change: another version of the package, or a device."""
    import torch

    from tests.device import Device

    with contextlib.ExitStack() as stack:
        if what == "version":
            for name, module in list(sys.modules.items()):
                if name.startswith("align_eval") and hasattr(module, "__version__"):
                    stack.enter_context(mock.patch.object(module, "__version__", "99.0"))
        if what == "device":
            stack.enter_context(mock.patch.object(torch.cuda, "device_count", return_value=1))
            stack.enter_context(mock.patch.object(torch.cuda, "mem_get_info", return_value=(2**34, 2**34)))
            stack.enter_context(Device("cuda"))
        yield


def _contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def one(writer: str, what: str, folder: Path) -> tuple[str, str | None]:
    """Interrupt, change, continue: what came of it, and what was wrong."""
    import align_eval as ae
    from align_eval.errors import AlignEvalError

    testset = ae.load_testset("mini-ende")
    setting = Setting(folder, [pair.reverse() for pair in testset.pairs[:PAIRS]])
    shutil.copytree(ROOT / "data" / "tiny-deen", setting.model)
    out, whole = folder / "out", folder / "whole"
    out.mkdir()
    whole.mkdir()
    run = WRITERS[writer]
    with contextlib.suppress(Interruption):
        run(setting, out, 2 * BLOCK)
        return "", "the run was not interrupted"
    begun = _contents(out)
    if not begun:
        return "", "the interrupted run left nothing to go on with"
    setting = CHANGES[what](setting)
    with _changed(what):
        run(setting, whole, None)
        try:
            run(setting, out, None)
        except AlignEvalError as error:
            wrong = None if what != "nothing" else f"refused without a change: {error}"
            return "refused", wrong
    if _contents(out) != _contents(whole):
        return "mixed", "another output than that of an undisturbed run"
    return ("continued", None) if what == "nothing" else ("anew", None)


def resume_matrix(
    folder: Path, writers: Sequence[str] = tuple(WRITERS), changes: Sequence[str] = tuple(CHANGES)
) -> tuple[list[Row], list[str]]:
    """Interrupt, change, continue, for every writer and every change.

    Args:
        folder: an empty folder to work in.
        writers, changes: names of :data:`WRITERS` and :data:`CHANGES`.

    Returns:
        rows for the figures, and what was wrong, a line each.
    """
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    failures: list[str] = []
    for number, writer in enumerate(writers):
        for what in changes:
            place = folder / f"{number}-{what}"
            place.mkdir()
            outcome, wrong = one(writer, what, place)
            rows.append((writer, what, outcome))
            if wrong is not None:
                failures.append(f"{writer}, {what} changed: {wrong}")
            shutil.rmtree(place)
    return rows, failures


def main() -> int:
    """Print the matrix; 1 if anything was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        rows, wrong = resume_matrix(Path(folder))
    lines = ["| writer | changed | outcome |", "|---|---|---|", *("| " + " | ".join(row) + " |" for row in rows)]
    sys.stdout.write("\n".join([*lines, "", *wrong, ""]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
