"""What a server gets: the package from its wheel, in an environment without napari and Qt."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WANTED = (
    *("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"),
    *("CONTRIBUTING.md", "Makefile", "constraints.txt", "napari.yaml"),
    *("napari_noisyseg", "tests", "docs", "benchmarks", "scripts", ".ci"),
)
NO_INDEX = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|Name or service not known"
    r"|Temporary failure in name resolution|No route to host|Network is unreachable"
    r"|Connection refused|ERR_CONNECTION|\(from versions: none\)"
)
SCRIPTS = "Scripts" if sys.platform == "win32" else "bin"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environment | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        **options,  # type: ignore[call-overload]
    )


def done(*command: str | Path, **options: object) -> str:
    result = run(*command, **options)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build the sdist from a copy of the sources, and the wheel from that sdist."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    source.mkdir()
    litter = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache")
    for name in WANTED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=litter)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    # Without isolation: setuptools is here already, and no index is needed.
    done(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def server(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of a fresh environment in which the wheel was installed, without extras."""
    environment = tmp_path_factory.mktemp("server") / "venv"
    done(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / SCRIPTS / ("python.exe" if sys.platform == "win32" else "python")
    # Uncompiled, because most of what torch brings is never imported here.
    result = run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"),
        *("--no-input", "-c", ROOT / "constraints.txt", distributions[1]),
    )
    if result.returncode and NO_INDEX.search(result.stderr):
        pytest.skip(f"no package index can be reached: {result.stderr.strip().splitlines()[-1]}")
    assert result.returncode == 0, result.stderr
    return python


def test_wheel_and_sdist_carry_the_manifest_and_the_types(distributions):
    sdist, wheel = distributions
    text = (ROOT / "napari_noisyseg" / "napari.yaml").read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("napari_noisyseg/napari.yaml") == text
        names = archive.namelist()
    assert "napari_noisyseg/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    with tarfile.open(sdist) as tar:
        (base,) = {name.partition("/")[0] for name in tar.getnames()}
        member = tar.extractfile(f"{base}/napari_noisyseg/napari.yaml")
        assert member is not None
        assert member.read() == text
        assert {f"{base}/{name}" for name in ("napari.yaml", "constraints.txt", "Makefile")} <= set(
            tar.getnames()
        )


def test_the_wheel_has_every_module(distributions):
    here = {file.relative_to(ROOT).as_posix() for file in (ROOT / "napari_noisyseg").rglob("*.py")}
    with zipfile.ZipFile(distributions[1]) as archive:
        there = {name for name in archive.namelist() if name.endswith(".py")}
    assert there == here


def test_the_server_has_no_napari_and_no_qt_binding_but_what_the_docks_import(server, tmp_path):
    code = (
        "import sys; from importlib.util import find_spec; print(*filter(find_spec, sys.argv[1:]))"
    )
    names = ("napari", "PyQt5", "PyQt6", "PySide2", "PySide6", "vispy")
    assert done(server, "-c", code, *names, cwd=tmp_path).split() == []
    docks = ("magicgui", "pyqtgraph", "qtpy", "superqt")
    assert done(server, "-c", code, *docks, cwd=tmp_path).split() == list(docks)


def test_a_server_trains_and_predicts_from_the_wheel(server, tmp_path):
    command = server.parent / (
        "napari-noisyseg.exe" if sys.platform == "win32" else "napari-noisyseg"
    )
    data, out, results = (tmp_path / name for name in ("data", "run", "results"))
    done(command, "--help", cwd=tmp_path)
    done(command, "sample", data, cwd=tmp_path)
    done(command, "train", data, "--out", out, "--epochs", "1", "--size", "32", cwd=tmp_path)
    for name in ("config.toml", "log.csv", "checkpoint.pt", "best.pt", "metrics.json"):
        assert (out / name).stat().st_size > 0, name
    images = list((data / "noisy_img").iterdir())
    assert len(list((out / "weights").rglob("*.tif"))) == len(images)
    done(command, "predict", out, data / "test_img", "--out", results, cwd=tmp_path)
    tests = list((data / "test_img").iterdir())
    assert len(list(results.glob("*_mask.png"))) == len(tests)


def test_npe2_accepts_the_manifest_of_the_installed_wheel(server, tmp_path):
    # As npe2 finds it: by the entry point, which names a package and a file in it.
    code = (
        "from importlib.metadata import entry_points\n"
        "from importlib.resources import files\n"
        "(entry,) = entry_points(group='napari.manifest', name='napari-noisyseg')\n"
        "package, _, file = entry.value.partition(':')\n"
        "print(files(package).joinpath(file))"
    )
    manifest = Path(done(server, "-c", code, cwd=tmp_path).strip())
    assert manifest.is_relative_to(server.parents[1])
    validate = "import sys; from npe2.cli import main; sys.argv[0] = 'npe2'; main()"
    assert "valid" in done(sys.executable, "-c", validate, "validate", manifest)
