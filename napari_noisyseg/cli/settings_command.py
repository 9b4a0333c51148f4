"""``napari-noisyseg settings``: every setting as a TOML file ready to edit."""

from __future__ import annotations

import argparse
from typing import Any

from napari_noisyseg.cli.console import Console


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "settings",
        help="print every setting, ready to edit",
        description="Print every setting with its explanation, unit, range and default as a TOML "
        "file: napari-noisyseg settings > settings.toml, then train --config settings.toml.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help="balanced (default), quick, thorough, or paper: the published configuration",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_noisyseg.model.settings import make_config, settings_toml

    console.result(settings_toml(make_config(preset=arguments.preset)).rstrip())
    return 0
