"""Whether memory ran out, which is said in many ways, and what to do about it."""

from __future__ import annotations

import sys

from napari_noisyseg.errors import ran_out_of_memory

ADVICE = (
    "memory ran out: lower noisy_batch, clean_batch, size, crop, width or memory in a new run, or "
    "free some memory"
)


def memory_ran_out(error: BaseException) -> bool:
    """Say whether an error means that memory ran out.

    Libraries that run out of it while they are loaded say anything at all; near the limit that a
    cluster or ``ulimit -v`` has set, every error is taken for this one.
    """
    return ran_out_of_memory(error) or _near_the_limit()


def _near_the_limit() -> bool:
    if sys.platform == "win32":
        return False
    import resource

    import psutil

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit != resource.RLIM_INFINITY and psutil.Process().memory_info().vms > 0.9 * limit
