"""Whatever becomes of the terminal, the run goes on to its end and its result is on disk."""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no terminals of this kind", allow_module_level=True)

import fcntl
import pty
import struct
import termios

BAR = re.compile(r"tr\S* .*loss ")
TOKEN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]")


class Terminal:
    """A terminal that keeps what is written to it."""

    def __init__(self, columns: int = 100) -> None:
        self.columns = columns
        self.text = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.path = Path(os.ttyname(slave))
        self._slave = slave  # held until the terminal is taken away: else it would end too early
        self._open = True
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()
        while self._open or select.select([self._master], [], [], 0)[0]:
            if select.select([self._master], [], [], 0.02)[0]:
                self.text += decoder.decode(os.read(self._master, 4096))

    def shows(self, pattern: str) -> None:
        """Wait until a text has come."""
        deadline = time.monotonic() + 60
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, self.text
            time.sleep(0.005)

    def close(self) -> None:
        """Take the terminal away, as closing its window does."""
        if self._open:
            self._open = False
            self._reader.join()
            os.close(self._slave)
            os.close(self._master)

    def screens(self) -> Iterator[list[str]]:
        """Yield the lines that are to be seen, each time that a line has been drawn."""
        lines, row, column = [""], 0, 0
        for token in TOKEN.findall(self.text):
            if token == "\r":
                yield lines[:]
                column = 0
            elif token == "\n":
                row += 1
            elif token == "\x1b[2K":
                lines[row] = ""
            elif token.startswith("\x1b"):
                if token.endswith("A"):
                    row -= int(token[2:-1] or 1)
                assert row >= 0
            else:
                if column == self.columns:
                    row, column = row + 1, 0
                lines.extend([""] * (row + 1 - len(lines)))
                lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1 :]
                column += 1
            lines.extend([""] * (row + 1 - len(lines)))
        yield lines


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def assert_finished(run: Path) -> None:
    assert json.loads((run / "metrics.json").read_text())["epochs"] == 2
    assert len(list((run / "weights").iterdir())) == 5
    assert not (run / "lock.json").exists()


@pytest.mark.parametrize("flags", [[], ["--json"], ["--quiet"]], ids=["text", "json", "quiet"])
def test_a_full_disk_behind_standard_output_stops_nothing(
    launcher: Any, tmp_path: Path, words: list[str], flags: list[str]
) -> None:
    words = [*words, *flags, "--out", tmp_path / "run"]
    launcher.run(*words, folder=tmp_path, out=Path("/dev/full"))
    assert_finished(tmp_path / "run")


def test_a_reader_that_leaves_after_the_first_line_stops_nothing(
    launcher: Any, tmp_path: Path, words: list[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = [*words, "--out", tmp_path / "run"]
    process = launcher.start(*words, folder=tmp_path, out=pipe)
    with open(pipe) as reader:
        assert reader.readline().startswith("trust: 5 noisy and 3 clean images")
    assert process.wait() == 0
    assert process.err.read_text() == ""
    assert_finished(tmp_path / "run")


def test_the_installed_command_runs_with_everything_closed(
    command_line: str, tmp_path: Path, words: list[str]
) -> None:
    words = shlex.join(map(str, [command_line, *words, "--out", tmp_path / "run"]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["sh", "-c", f"exec {words} <&- >&- 2>&-"], env=environment)
    assert done.returncode == 0
    assert_finished(tmp_path / "run")


def test_a_terminal_that_is_closed_under_nohup_stops_nothing(
    launcher: Any, tmp_path: Path, words: list[str], terminal: Terminal
) -> None:
    words = [*words, "--out", tmp_path / "run"]
    process = launcher.start(*words, folder=tmp_path, out=terminal.path, ignored=["SIGHUP"])
    terminal.shows("epoch 1/2")
    terminal.close()
    assert process.wait() == 0
    assert_finished(tmp_path / "run")


def test_a_terminal_that_is_closed_stops_the_run_and_it_can_go_on(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    terminal: Terminal,
) -> None:
    words = [*words, "--out", tmp_path / "run"]
    process = launcher.start(*words, folder=tmp_path, out=terminal.path)
    terminal.shows("epoch 1/2")
    terminal.close()  # the system sends SIGHUP
    assert process.wait() == 128 + signal.SIGHUP
    assert not (tmp_path / "run" / "metrics.json").exists()
    launcher.run(*words, "--resume", folder=tmp_path)
    assert_same_run(unbroken(*words), tmp_path / "run")


@pytest.mark.parametrize("columns", [80, 50])
def test_the_bar_shows_loss_dice_speed_and_time_left_in_one_line(
    launcher: Any, tmp_path: Path, words: list[str], columns: int
) -> None:
    terminal = Terminal(columns)
    words = [*words, "--out", tmp_path / "run"]
    kind = {"TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = launcher.start(*words, folder=tmp_path, out=terminal.path, environment=kind)
    assert process.wait() == 0
    terminal.close()
    screens = list(terminal.screens())
    drawn = [[line for line in lines if BAR.match(line)] for lines in screens]
    assert all(len(bars) <= 1 for bars in drawn), terminal.text
    last_bar = [bars[0] for bars in drawn if bars][-1]
    if columns == 80:
        figures = r"8/8 loss \d\.\d{3} \+ \d\.\d{3}  Dice \d\.\d{3}  \d+ images/s \d\d:\d\d"
        assert re.fullmatch(rf"training ━+ {figures}", last_bar), last_bar
    # What remains is the lines, in full, and the cursor; the bar is gone.
    last = "".join(line.ljust(columns) for line in screens[-1])
    assert len(re.findall(r"epoch \d/2  noisy loss", last)) == 2
    assert "done: model, weight maps and measures are in" in last
    assert "━" not in last
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")


@pytest.mark.parametrize(
    "environment", [{"TERM": "dumb"}, {"NO_COLOR": "1", "TERM": "xterm-256color"}], ids=str
)
def test_a_dumb_terminal_gets_lines_and_one_without_colours_no_colours(
    launcher: Any, tmp_path: Path, words: list[str], terminal: Terminal, environment: dict[str, str]
) -> None:
    words = [*words, "--out", tmp_path / "run"]
    process = launcher.start(*words, folder=tmp_path, out=terminal.path, environment=environment)
    assert process.wait() == 0
    terminal.close()
    assert sum(line.startswith("epoch ") for line in list(terminal.screens())[-1]) == 2
    if environment["TERM"] == "dumb":
        assert "\x1b" not in terminal.text
    else:
        assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", terminal.text)


def copy_with_name(data: Path, folder: Path, name: str) -> Path:
    """Copy the data into a folder of that name, and put the name before the noisy images' names."""
    for part in data.iterdir():
        (folder / name / part.name).mkdir(parents=True)
        for file in part.iterdir():
            new = name + file.name if "noisy" in file.name else file.name
            (folder / name / part.name / new).symlink_to(file)
    return folder / name


READ_BACK = """
import pathlib, sys
from napari_noisyseg.model.settings import make_config, read_settings
config = make_config(read_settings(pathlib.Path(sys.argv[1], "config.toml")))
assert list(config.data.folder.iterdir()), config.data
"""


def test_names_that_a_locale_cannot_say_are_trained_and_written_down(
    command_line: str, tmp_path: Path, short: list[str], data: Path
) -> None:
    folder = copy_with_name(data, tmp_path, "données 数据")
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    environment = {**os.environ, **locale, "OMP_NUM_THREADS": "1"}
    command = [command_line, "train", folder, *short, "--out", folder / "run"]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert_finished(folder / "run")
    command = [sys.executable, "-c", READ_BACK, folder / "run"]
    for variables in (environment, os.environ):  # there and where the names can be said
        done = subprocess.run(command, capture_output=True, env=variables)
        assert (done.returncode, done.stderr) == (0, b"")


def test_names_that_are_no_text_are_trained_and_resumed(
    launcher: Any, tmp_path: Path, short: list[str], data: Path
) -> None:
    folder = copy_with_name(data, tmp_path, os.fsdecode(b"donn\xe9es"))
    words = ["train", *short, "--out", folder / "run"]
    fate = {"when": "before", "file": "metrics.json", "time": 1, "signals": ["SIGKILL"]}
    process = launcher.start(*words, folder, folder=tmp_path, fate=fate)
    assert process.wait() == -signal.SIGKILL
    process = launcher.start(*words, "--resume", folder=tmp_path)
    assert process.wait() == 2  # the settings file cannot say where the images are
    assert "train DATA --resume" in process.sentence
    launcher.run(*words, folder, "--resume", folder=tmp_path)
    assert_finished(folder / "run")


def test_writing_to_a_terminal_that_was_closed_is_an_error(terminal: Terminal) -> None:
    # What the tests above rely on: writing there fails and does not merely vanish.
    descriptor = os.open(terminal.path, os.O_RDWR | os.O_NOCTTY)
    terminal.close()
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        os.write(descriptor, b"x")
    os.close(descriptor)
