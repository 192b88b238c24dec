"""Runs: aligning files of any size, evaluating systems on test sets, experiment files."""
