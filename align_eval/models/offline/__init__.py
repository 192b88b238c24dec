"""Models that load without the model hub, one file a model. Each registers with ``align_eval.models.provider``."""
