"""Hook of the build: compile the C files where there is a compiler. Without one the package is plain Python."""

from __future__ import annotations

import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles before a wheel (an editable one included) is put together, and names its platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the library to the wheel; say so and go on where it cannot be compiled."""
        compiling = runpy.run_path(str(Path(__file__).with_name("compiling.py")))
        try:
            path: Path = compiling["compile_library"]()
        except compiling["CompilingError"] as error:
            self.app.display_warning(f"align-eval computes without its compiled functions, slower: {error}")
            return
        build_data["artifacts"].append(f"/{path.relative_to(self.root).as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
