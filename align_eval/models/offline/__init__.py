"""Models that load without the model hub. Each registers with ``align_eval.models.provider``."""
