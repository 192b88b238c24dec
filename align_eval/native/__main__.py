"""``python -m align_eval.native``: whether the compiled functions are used; missing or old ones are compiled first."""

from __future__ import annotations

import os
import subprocess
import sys

from align_eval.native import library
from align_eval.native.compiling import HEADERS, SOURCES, CompilingError, compile_library, library_path
from align_eval.processes import isolated


def main() -> int:
    """Print one line; 0 if the compiled functions can be used, else 1."""
    if os.environ.get("ALIGN_EVAL_NATIVE") == "0":
        sys.stderr.write("ALIGN_EVAL_NATIVE=0: numpy is used\n")
        return 1
    path = library_path()
    if library() is None or path.stat().st_mtime < max(source.stat().st_mtime for source in (*SOURCES, *HEADERS)):
        try:
            compile_library()
        except CompilingError as error:
            sys.stderr.write(f"numpy is used: {error}\n")
            return 1
        # In a process of its own: this one may hold the old library, which the loader would give again.
        check = "from align_eval.native import library; sys.exit(library() is None)"
        loads = not subprocess.run(isolated(check)).returncode
    else:
        loads = True
    if not loads:
        sys.stderr.write(f"numpy is used: {path} does not load\n")
        return 1
    sys.stdout.write(f"the compiled functions are used: {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
