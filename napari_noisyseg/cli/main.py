"""The parser, and the one place where exceptions become sentences and exit statuses."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from napari_noisyseg import __version__
from napari_noisyseg.cli.arguments import refuse_unknown_command, refuse_unknown_words
from napari_noisyseg.cli.console import Console, keep_standard_descriptors, quiet_exit
from napari_noisyseg.cli.memory import ADVICE, memory_ran_out
from napari_noisyseg.errors import StoppedError, UserError

DESCRIPTION = """\
Train a segmentation network from many annotations one cannot trust and a few clean ones, and see,
pixel by pixel, which to believe."""

EPILOG = """\
example:
  napari-noisyseg sample data          write the sample data set
  napari-noisyseg train data --out runs/first
  napari-noisyseg predict runs/first data/test_img --gt data/test_gt --out results

exit status: 0 done, 1 stopped during work, 2 something to mend first, 130 / 143 / 129 interrupted
(Ctrl-C, terminated, terminal closed; a training is saved and can be resumed)"""


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses in one sentence, and takes options between the paths too.

    Attributes
    ----------
    later
        Adds the arguments whose description takes time to load; called when the parser is used.
    """

    later: Callable[[Parser], None] | None = None
    _intermixing = False

    @property
    def options(self) -> dict[str, argparse.Action]:
        """The options by their names."""
        self.complete()
        return self._option_string_actions

    def complete(self) -> None:
        """Add what was left for later."""
        add, self.later = self.later, None
        if add is not None:
            add(self)

    def format_help(self) -> str:
        """Return the help."""
        self.complete()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Raise the refusal; `main` prints it and exits with status 2."""
        raise UserError(f"{message} (see '{self.prog} --help')")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse words; ``predict RUN --out DIR IMAGES`` is as good as any other order."""
        self.complete()
        # Before Python 3.13 parse_known_intermixed_args calls this method in turn.
        if self._intermixing or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._intermixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixing = False


def make_parser() -> tuple[Parser, dict[str, Parser]]:
    """Build the parser, and that of each command."""
    # Loaded here, where `main` meets an interrupt.
    from napari_noisyseg.cli import (
        compare_command,
        doctor_command,
        evaluate_command,
        predict_command,
        review_command,
        sample_command,
        settings_command,
        simulate_command,
        train_command,
    )

    parser = Parser(
        prog="napari-noisyseg",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in (
        train_command,
        predict_command,
        evaluate_command,
        review_command,
        sample_command,
        simulate_command,
        compare_command,
        settings_command,
        doctor_command,
    ):
        command.add_parser(commands)
    return parser, commands.choices


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    keep_standard_descriptors()
    console = Console()
    try:
        with warnings.catch_warnings():
            # Those of libraries: what the user must know we say ourselves.
            warnings.simplefilter("ignore")
            logging.getLogger("napari_noisyseg").addHandler(console.log_handler)
            try:
                status = _run(arguments, console)
            finally:
                logging.getLogger("napari_noisyseg").removeHandler(console.log_handler)
    except UserError as error:
        console.error(str(error))
        status = 2
    except StoppedError as error:
        console.error(str(error))
        status = 1
    except KeyboardInterrupt:
        console.error("interrupted")
        status = 130
    except BrokenPipeError:
        status = 1
    except Exception as error:  # noqa: BLE001 - the last resort; the traceback is printed
        if memory_ran_out(error):
            console.error(ADVICE)
        else:
            console.traceback()
        status = 1
    return quiet_exit(status)


def _run(arguments: Sequence[str] | None, console: Console) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser, commands = make_parser()
    refuse_unknown_command(words, commands)
    parsed, unknown = parser.parse_known_args(words)
    chosen = commands.get(parsed.command, parser)
    refuse_unknown_words(unknown, chosen.options, chosen.prog)
    if parsed.command is None:
        console.say(parser.format_help().rstrip())
        return 2
    console.quiet = getattr(parsed, "quiet", False)
    console.json = getattr(parsed, "json", False)
    return int(parsed.run(parsed, console))


if __name__ == "__main__":
    sys.exit(main())
