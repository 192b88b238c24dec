"""Files that are written: alone, whole or not at all, and continued after an interruption if nothing has changed."""
