from __future__ import annotations

import ast
import re
import sys
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import napari_noisyseg

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "napari_noisyseg"
QT_BINDINGS = {"pyqt5", "pyqt6", "pyside2", "pyside6"}


@pytest.fixture(scope="module")
def setup_cfg() -> ConfigParser:
    config = ConfigParser(interpolation=None)
    config.optionxform = str  # type: ignore[assignment,method-assign]  # keys as written
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def requirements(text: str) -> dict[str, Requirement]:
    lines = [line.strip() for line in text.splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


@pytest.fixture(scope="module")
def base(setup_cfg) -> dict[str, Requirement]:
    return requirements(setup_cfg["options"]["install_requires"])


@pytest.fixture(scope="module")
def extras(setup_cfg) -> dict[str, dict[str, Requirement]]:
    return {name: requirements(text) for name, text in setup_cfg["options.extras_require"].items()}


def test_name_version_and_python_are_declared(setup_cfg):
    assert setup_cfg["metadata"]["name"] == "napari-noisyseg"
    assert setup_cfg["metadata"]["version"] == "attr: napari_noisyseg.__version__"
    assert setup_cfg["options"]["python_requires"] == ">=3.11"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", napari_noisyseg.__version__)


def test_classifiers_tell_napari_the_licence_and_the_tested_pythons(setup_cfg):
    classifiers = setup_cfg["metadata"]["classifiers"].split("\n")
    assert "Framework :: napari" in classifiers
    assert "License :: OSI Approved :: BSD License" in classifiers
    for minor in (11, 12, 13):
        assert f"Programming Language :: Python :: 3.{minor}" in classifiers


def test_a_server_gets_neither_napari_nor_a_qt_binding(base):
    assert not set(base) & {"napari", *QT_BINDINGS}
    assert not any(requirement.extras for requirement in base.values())


def test_what_the_docks_need_comes_without_extras(base):
    assert {"magicgui", "qtpy", "superqt", "pyqtgraph"} <= set(base)


def test_versions_with_known_holes_in_loading_checkpoints_are_excluded(base):
    assert not base["torch"].specifier.contains("2.9.1")
    assert base["torch"].specifier.contains("2.10.0")
    assert not base["monai"].specifier.contains("1.6.0")
    assert base["monai"].specifier.contains("1.6.1")


def test_every_dependency_has_a_lower_bound_and_no_upper_one(base, extras):
    everything = [base, *(extra for name, extra in extras.items() if name != "dev")]
    for requirement in (one for group in everything for one in group.values()):
        assert [bound.operator for bound in requirement.specifier] == [">="], str(requirement)


def test_the_extra_all_gives_napari_with_a_qt_binding(extras):
    assert extras["all"]["napari"].extras & {"pyqt6", "pyqt", "pyside6", "all"}


def test_the_extra_test_gives_what_make_test_runs(extras):
    assert {"pytest", "pytest-qt", "ruff", "mypy", "import-linter", "npe2"} <= set(extras["test"])


def test_every_package_that_is_imported_is_declared(base, extras):
    roots: dict[str, Path] = {}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0]: file for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                roots[node.module.partition(".")[0]] = file
    ours = {"napari_noisyseg", *sys.stdlib_module_names}
    homes = packages_distributions()
    # The plugin's modules run inside napari, so that they may import it.
    allowed = {*base, "napari", *(name for extra in extras.values() for name in extra)}
    for root in sorted(set(roots) - ours):
        names = {canonicalize_name(home) for home in homes.get(root, [root])}
        assert names & allowed, f"{roots[root]} imports {root}, which setup.cfg does not name"


def test_constraints_pin_every_tested_dependency_to_a_version_that_is_allowed(base, extras):
    pins = requirements((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert str(pins["torch"].specifier) == "==2.13.0"
    for name, requirement in {**base, **extras["all"], **extras["test"]}.items():
        (pin,) = pins[name].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), f"{name}: {pin} breaks {requirement}"


def test_the_installed_package_has_the_command_and_the_manifest():
    try:
        installed = distribution("napari-noisyseg")
    except PackageNotFoundError:
        pytest.skip("napari-noisyseg is not installed: pip install -e .")
    assert Version(installed.version) == Version(napari_noisyseg.__version__)
    entries = {(entry.group, entry.name): entry.value for entry in installed.entry_points}
    command = ("console_scripts", "napari-noisyseg")
    assert entries[command] == "napari_noisyseg.cli.main:main"
    assert entries["napari.manifest", "napari-noisyseg"] == "napari_noisyseg:napari.yaml"
    assert installed.metadata["Requires-Python"] == ">=3.11"
