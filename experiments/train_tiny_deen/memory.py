"""Keep the memory that tensors leave behind.

The C library of Linux gives large freed blocks back to the system at once, and the next step asks for them again page
by page. Half of the processor's time of a training step can go there.
"""

from __future__ import annotations

import ctypes

# <malloc.h>: options of mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK, MOST_FREE = 1 << 30, (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Let this process keep up to 2 GB of freed memory, blocks of up to 1 GB included.

    Returns:
        Whether the C library took it; one without ``mallopt`` is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(M_TRIM_THRESHOLD, MOST_FREE))
