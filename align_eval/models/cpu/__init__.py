"""Encoders on a CPU: sentences without padding, by compiled functions where there are any, batches in parallel."""
