"""The two exceptions that carry a sentence for the user, and what tells that memory ran out."""

from __future__ import annotations

# What torch, numpy, the system and its loader say, in lower case.
_MEMORY_WORDS = (
    "out of memory", "allocate memory", "not enough memory", "alloc_cpu", "failed to map segment",
)  # fmt: skip


class UserError(Exception):
    """Something that is the user's to mend before work starts: files, folders, flags, settings.

    The message is one sentence that names the file or layer, says what is wrong and what to do.
    The command line prints it and exits with status 2; the window shows it as a notification.
    """


class StoppedError(Exception):
    """Work that had begun and could not go on: disk full, loss not finite, out of memory.

    The message is one sentence; the last good state is on disk. The command line prints it and
    exits with status 1. Deliberately no `RuntimeError`, which napari's workers swallow.
    """


def ran_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that the memory of the processor or of a GPU ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    said = str(error).lower()
    kinds = (RuntimeError, OSError, ImportError)
    return isinstance(error, kinds) and any(words in said for words in _MEMORY_WORDS)
