from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument

from napari_noisyseg.plugin.window.plain_text import tooltip


@pytest.mark.parametrize("text", ["Undo: mark 'crowd' as clean", "<b>a & b</b>", "&lt;", "chest"])
def test_a_tooltip_reads_as_its_text(text):
    # What a tooltip of Qt does: rich text where it looks like that, else plain.
    shown = QTextDocument()
    if Qt.mightBeRichText(tooltip(text)):
        shown.setHtml(tooltip(text))
    else:
        shown.setPlainText(tooltip(text))
    assert shown.toPlainText() == text


def test_no_text_is_no_tooltip():
    assert tooltip("") == ""
