"""A window with an annotation that is wrong in places, and the review dock beside it."""

from __future__ import annotations

import pytest

from .reviewed import add_reviewed, open_dock


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1200, 800)
    return viewer


@pytest.fixture
def layer(viewer):
    return add_reviewed(viewer)


@pytest.fixture
def dock(viewer, layer, qtbot):
    return open_dock(viewer, qtbot)
