from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

HEAVY = [
    *("torch", "monai", "scipy", "skimage"),
    *("napari", "vispy", "qtpy", "PyQt5", "PyQt6", "PySide6"),
    *("magicgui", "superqt", "pyqtgraph"),
]
TRIES = 7

TIME_OF_IMPORT = """
import time
start = time.perf_counter()
import napari_noisyseg
print(time.perf_counter() - start)
"""
HELP = "import sys; sys.argv[1:] = {arguments}; from napari_noisyseg.cli.main import main; main()"
LOADED = """
import atexit, sys
atexit.register(lambda: print('LOADED', *sorted(set(sys.modules) & set({heavy})), file=sys.stderr))
{code}
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def fastest(measure: Callable[[], float]) -> float:
    """Return the smallest of several times: what it takes when nothing else is in the way."""
    return min(measure() for _ in range(TRIES))


def heavy_modules_after(code: str) -> str:
    result = run(LOADED.format(heavy=HEAVY, code=code))
    assert result.returncode == 0, result.stderr
    return result.stderr.strip().splitlines()[-1].removeprefix("LOADED").strip()


def test_importing_the_package_takes_less_than_a_tenth_of_a_second():
    assert fastest(lambda: float(run(TIME_OF_IMPORT).stdout)) < 0.1


def test_importing_the_package_loads_nothing_heavy():
    assert heavy_modules_after("import napari_noisyseg") == ""
    assert heavy_modules_after("import napari_noisyseg, torch") == "torch"  # it would be seen


def test_importing_the_floors_up_to_the_annotation_loads_no_torch():
    loaded = heavy_modules_after(
        "import pkgutil, importlib, napari_noisyseg.annotation as floor\n"
        "for found in pkgutil.iter_modules(floor.__path__, floor.__name__ + '.'):\n"
        "    importlib.import_module(found.name)"
    ).split()
    assert not set(loaded) & {"torch", "monai", "napari", "qtpy", "PyQt6"}


def test_help_appears_in_less_than_half_a_second():
    def measure() -> float:
        start = time.perf_counter()
        result = run(HELP.format(arguments=["--help"]))
        assert result.returncode == 0
        assert "train" in result.stdout
        return time.perf_counter() - start

    assert fastest(measure) < 0.5


def test_help_loads_no_torch_and_no_napari():
    assert heavy_modules_after(HELP.format(arguments=["--help"])) == ""
    for command in ("train", "predict", "evaluate", "simulate", "compare", "settings"):
        loaded = heavy_modules_after(HELP.format(arguments=[command, "--help"])).split()
        assert not set(loaded) & {"torch", "monai", "napari", "qtpy", "PyQt6"}, command


def test_listing_the_public_names_loads_nothing_heavy():
    assert heavy_modules_after("import napari_noisyseg; dir(napari_noisyseg)") == ""
