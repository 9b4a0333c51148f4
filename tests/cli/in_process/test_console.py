"""Where lines go while a progress bar is on the screen."""

from __future__ import annotations

import io

import pytest

from napari_noisyseg.cli.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("to_file", [False, True])
def test_a_warning_goes_above_the_bar_or_into_the_file_that_takes_the_errors(
    monkeypatch: pytest.MonkeyPatch, to_file: bool
):
    errors = io.StringIO() if to_file else Terminal()
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setattr("sys.stderr", errors)
    above: list[str] = []
    console = Console()
    with console.around(lambda stream, text: above.append(text)):
        console.say("a line")
        console.warn("beware")
    assert above == (["a line"] if to_file else ["a line", "warning: beware"])
    assert errors.getvalue() == ("warning: beware\n" if to_file else "")
