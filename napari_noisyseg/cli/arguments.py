"""Words of the command line turned into numbers and paths, and what is said of words that are none."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown


def whole_number(text: str) -> int:
    """Turn a word into a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{_short(text)}' is not a whole number") from None


def number(text: str) -> float:
    """Turn a word into a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{_short(text)}' is not a number") from None


def file_path(text: str) -> Path:
    """Turn a word into a path; the empty one would mean the current folder, which nobody means."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty: give a file or folder")
    if "\0" in text:
        raise argparse.ArgumentTypeError("no file or folder can have this name")
    return Path(os.path.expanduser(text))


class Once(argparse.Action):
    """Keeps an option's value, and refuses a second one, which would replace the first unseen."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Keep the value."""
        if getattr(namespace, self.dest) is not self.default:
            raise UserError(f"{option_string} is given twice and only one can hold: give it once")
        setattr(namespace, self.dest, values)


def refuse_unknown_command(words: Sequence[str], commands: Iterable[str]) -> None:
    """Raise UserError if the first word that is no option is none of the commands."""
    names = list(commands)
    word = next((word for word in words if not word.startswith("-")), None)
    if word is not None and word not in names:
        hint = did_you_mean(word, names)
        raise UserError(f"there is no command '{_short(word)}'{hint}: choose {', '.join(names)}")


def refuse_unknown_words(words: Sequence[str], options: Mapping[str, object], program: str) -> None:
    """Raise UserError if there are words that a command does not know."""
    if words:
        hint = did_you_mean(words[0].partition("=")[0], options)
        kind = "option" if words[0].startswith("-") else "argument"
        raise UserError(
            f"there is no {kind} '{_short(words[0])}' here{hint}: see '{program} --help'"
        )


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Give a hint at the choice that is most like a word, or an empty text."""
    close = difflib.get_close_matches(word[:60].lower(), list(choices), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _short(text: str) -> str:
    return shown(text)[:60]
