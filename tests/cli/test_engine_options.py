"""The options that say where the work is done: what does not go together is told before anything is read or started."""

from __future__ import annotations

import sys

import pytest

from align_eval.cli import main

ALIGN = ("align", "--bitext", "pairs", "-o", "out")
RAY = (*ALIGN, "--engine", "ray")


def run(*words: str) -> int:
    try:
        main(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*ALIGN, "--actors", "2"), "go with --engine ray"),
        ((*ALIGN, "--cpus-per-actor", "2"), "go with --engine ray"),
        ((*ALIGN, "--ray-address", "auto"), "go with --engine ray"),
        (("align", "--bitext", "pairs", "--engine", "ray"), "--engine ray need --output"),
        (("align", "--bitext", "-", "-o", "out", "--engine", "ray"), "reads files, not standard input"),
        ((*RAY, "--actors", "0"), "0 is not in the range"),
        ((*RAY, "--device", "cuda:1"), "write --device cuda without a number"),
        ((*RAY, "--device", "cuda", "--gpus-per-actor", "0"), "contradict each other"),
        ((*RAY, "--device", "cpu", "--gpus-per-actor", "1"), "contradict each other"),
        (("infill", "mini-ende", "--pair", "1", "--mask", "2", "--engine", "ray"), "one pair is done in this process"),
        (("infill", "mini-ende", "--gpus-per-actor", "1"), "go with --engine ray"),
    ],
)
def test_usage(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    shown = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert told in shown


def test_ray_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(*RAY) == 1
    assert "pip install 'align-eval[ray]'" in capsys.readouterr().err
