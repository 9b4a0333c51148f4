"""The two exceptions that carry a sentence for the user."""

from __future__ import annotations


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
