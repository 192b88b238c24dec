"""Where the work of a run is done: in this process, or on a cluster. One file an engine."""

from align_eval.runs.engines.base import ENGINES, Engine, EngineError, Given, make_engine

__all__ = ["ENGINES", "Engine", "EngineError", "Given", "make_engine"]
