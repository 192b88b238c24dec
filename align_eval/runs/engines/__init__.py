"""Where the blocks of a run are aligned: in this process, or on a cluster. One file an engine."""

from align_eval.runs.engines.base import ENGINES, AlignerOrMaker, Engine, EngineError, Facts, make_engine

__all__ = ["ENGINES", "AlignerOrMaker", "Engine", "EngineError", "Facts", "make_engine"]
