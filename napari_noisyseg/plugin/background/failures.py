"""Any exception of a working thread as one or two sentences that say what to do."""

from __future__ import annotations

import errno
import re
import traceback

from napari_noisyseg.errors import StoppedError, UserError, ran_out_of_memory
from napari_noisyseg.files import shown

LONGEST = 300
"""Characters of a sentence that fits a notification."""

_MEMORY_ADVICE = (
    "memory ran out: lower the size or crop, then noisy batch, clean batch and width under "
    "Advanced, or close other programs, and start again"
)
# What the command line says, in the words of the window.
_WORDS = (
    (r"(?:, or |; )?add --resume to go on with it or choose another --out", ""),
    (r"(its folder .*) is gone", r"\1 is gone: start again, or put it back and 'Resume'"),
    (r"finish the training with --resume", "go on with it by 'Resume'"),
    (r" with another --out", ""),
    (r" by --out, or replace former predictions by --overwrite", ""),
    (r" by --out", ""),
    (r"give smaller images, or use --device cpu", "predict smaller images"),
    (r"choose another --out", "choose another runs folder in the preferences"),
    (r"use --method (\w+)", r"choose the method \1"),
    (r"by --method (\w+)", r"by the method \1"),
    (r"with --method (\w+)", r"by the method \1"),
    (r"use --device auto", "choose the device auto"),
    (r", e\.g\. --set (\w+)=", r" under Advanced, e.g. \1 = "),
    (r"say --set (\w+)=(\S+)", r"give \1 = \2 under Advanced"),
    (r"--set (\w+)=", r"\1 = "),
)
# Neither inside a path, such as day--one/a.png, nor an apostrophe inside a word.
_FLAG = re.compile(r"(?<![^\s(])--([a-z]+(?:-[a-z]+)*)(?![\w/\\-]|\.\w)")
_QUOTED = re.compile(r"(?<!\w)'.*?'(?!\w)")
_PLACE = "\0"  # of a quoted name; `shown` lets none into a sentence


def describe_failure(
    error: BaseException, *, resumable: bool = False, what: str = "training", advice: str = ""
) -> str:
    """Return the sentence that the user is shown for an exception.

    Parameters
    ----------
    error
        Whatever was raised.
    resumable
        Whether the run has a checkpoint to go on from, which is then said.
    what
        The work that failed.
    advice
        What to do where memory ran out; that for a training without it.

    Returns
    -------
    str
        Plain text of at most about `LONGEST` characters.
    """
    if isinstance(error, UserError | StoppedError):
        said = in_window(str(error))
    elif ran_out_of_memory(error):
        said = advice or _MEMORY_ADVICE
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        said = "the disk is full: free some space"
    elif isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        said = f"the {what} was interrupted from outside: start it again"
    else:
        lines = str(error).strip().splitlines()
        what = f": {shown(lines[0])}" if lines else ""
        said = (
            f"the {what} failed by an unexpected {type(error).__name__}{what}; the log has the "
            f"details"
        )
    said = said.strip().rstrip(".")
    said = said[:1].upper() + said[1:]
    if len(said) > LONGEST:
        said = f"{said[: LONGEST - 3]}..."
    way_back = " 'Resume' goes on from the last checkpoint." if resumable else ""
    return f"{said}.{way_back}"


def in_window(sentence: str) -> str:
    """Return a sentence of the engine in the words of the window, which has no flags.

    Names in quotes, of files and layers, stay as they are.
    """
    names = iter(_QUOTED.findall(sentence))
    sentence = _QUOTED.sub(_PLACE, sentence)
    for pattern, words in _WORDS:
        sentence = re.sub(pattern, words, sentence)
    sentence = _FLAG.sub(lambda flag: flag[1].replace("-", "_"), sentence)
    return re.sub(_PLACE, lambda _: next(names, ""), sentence)


def text_of(error: BaseException) -> str:
    """Return an exception's traceback as text for the log, and let go of what its frames hold.

    A traceback keeps every local variable of every frame alive: network, optimiser, tensors.
    """
    text = "".join(traceback.format_exception(error))
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        one = chain.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        one.__traceback__ = None
        chain += [one.__cause__, one.__context__]
    return text
