"""TALP (lilt, the RWTH De-En gold): as Pharaoh, possible links written ``ipj``."""

from __future__ import annotations

from typing import ClassVar

from align_eval.corpora.link_formats import LINK_FORMATS
from align_eval.corpora.link_formats.pharaoh import Pharaoh


@LINK_FORMATS.register("talp")
class Talp(Pharaoh):
    """Reads all that Pharaoh reads; ``i-j`` is sure and ``ipj`` possible when written."""

    suffixes: ClassVar[tuple[str, ...]] = (".talp",)
    possible_mark: ClassVar[str] = "p"
