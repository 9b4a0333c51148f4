from __future__ import annotations

import pytest

from napari_noisyseg.plugin.window.paragraph import Paragraph


@pytest.fixture
def paragraph(qtbot):
    paragraph = Paragraph("What is wrong")
    qtbot.addWidget(paragraph)
    return paragraph


def test_a_long_name_is_broken_where_there_is_no_room_and_stays_what_it_is(paragraph):
    name = "patient_0017_t1_weighted_contrast_enhanced_axial_reconstructed"
    paragraph.setText("patient")
    line = paragraph.heightForWidth(250)
    paragraph.setText(name)
    assert paragraph.heightForWidth(250) >= 2 * line
    assert paragraph.text() == name


def test_a_name_is_no_markup(paragraph):
    paragraph.setText("<b>bold</b>")
    plain = paragraph.heightForWidth(1000)
    paragraph.setText("<br>" * 5)
    assert paragraph.heightForWidth(1000) == plain
