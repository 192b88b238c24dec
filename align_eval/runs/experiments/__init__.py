"""Experiment files: what is to be run, in TOML; running one writes ``results/NAME``.

``kind`` says what is done; the kinds are the modules here, each registered by itself:

- ``evaluate``: every method at every layer of an encoder, by similarity;
- ``sweep``: AER of every layer, head and reading of a model, and what selection gives on other sentences;
- ``infill``: words hidden by plans, what that does to attention, and what is filled in;
- ``signals``: all signals of a model on test sets, beside aligners and given links.

Every kind has ``name``, ``testsets``, ``title``, ``text``, ``model``, ``resamples`` and ``seed``; see its module for
the rest. What is there already and was made from the same settings, test set, model and version is kept, so that an
interrupted run goes on where it stopped.
"""

from align_eval.runs.experiments.base import KINDS, Experiment, Watch, read_experiment, run_experiment

__all__ = ["KINDS", "Experiment", "Watch", "read_experiment", "run_experiment"]
