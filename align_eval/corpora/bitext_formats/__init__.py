"""Corpus formats, one file each. See :mod:`align_eval.corpora.formats`."""
