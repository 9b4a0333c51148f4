"""The page of a review: what its pictures show, how large it is, and that names stay data."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from napari_noisyseg.annotation.quality import ExpectedOverlap, Quality
from napari_noisyseg.annotation.review_pictures import (
    SIDE,
    SuspectPictures,
    cut_out,
    draw_suspect,
    stretched,
)
from napari_noisyseg.annotation.review_report import ReviewSummary, report_html
from napari_noisyseg.annotation.suspects import Kind, Suspect, find_suspects

EVIL = "</title><script>alert('x')</script><img src=x onerror=\"alert(1)\">&amp;\u202e\n"


class Tags(HTMLParser):
    """Collects tags and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


def drawn(
    shape: tuple[int, int] = (80, 100), channels: int = 3, dtype: str = "uint8", **names: str
) -> SuspectPictures:
    given = np.zeros(shape, np.int16)
    given[20:40, 20:40] = 1
    given[:3] = -1
    chances = np.full((1, *shape), 0.05, np.float32)
    chances[0, 20:40, 20:60] = 0.95
    trust = np.where(given == (chances[0] > 0.5), np.float32(0.9), np.float32(0.1))
    (suspect,) = find_suspects(given, trust, chances, **names)
    pixels = np.random.default_rng(0).uniform(0, 200, (channels, *shape)).astype(dtype)
    return draw_suspect(suspect, pixels, given, trust)


def picture(address: str) -> np.ndarray:
    kind, content = re.fullmatch(r"data:image/(\w+);base64,(.+)", address).groups()
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert image.format.lower() == kind
    return np.asarray(image.convert("RGB"))


def page(
    *pictures: SuspectPictures, name: str = "a", annotator: str = "", suspects: int | None = None
) -> str:
    count = len(pictures) if suspects is None else suspects
    some = ExpectedOverlap(*np.array([[9.0, 5.0], [9.0, 9.0], [9.0, 9.0], [1.0, 1.0]]))
    quality = Quality(name, annotator, some, some)
    return report_html(
        ReviewSummary(
            title=name,
            qualities=[quality],
            counts={(name, annotator): count},
            kinds={str(Kind.TOO_SMALL): count},
            annotators=[],
            annotate_next=[name],
            values=(0, 255),
            has_trust=True,
        ),
        pictures,
    )


def test_a_region_fills_a_third_of_its_picture_and_stays_within_the_image():
    assert cut_out((100, 100, 130, 120), (400, 400)) == (70, 65, 160, 155)
    assert cut_out((0, 0, 30, 30), (400, 400)) == (0, 0, 90, 90)
    assert cut_out((380, 390, 400, 400), (400, 400)) == (340, 340, 400, 400)
    assert cut_out((2, 2, 6, 6), (20, 30)) == (0, 0, 20, 30)


@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, "uint8"), (3, "uint8"), (2, "uint16"), (7, "float32")]
)
def test_pictures_are_small_and_can_be_opened(channels: int, dtype: str):
    one = drawn((900, 1200), channels, dtype)
    for address in (one.image, one.trust):
        assert max(picture(address).shape) <= SIDE
        assert len(address) < 60_000


def test_few_bright_pixels_are_more_than_two_values():
    pixels = np.full((1, 200, 200), 100, np.uint16)
    pixels[0, 50:60, 50:60] = np.arange(1000, 5000, 40).reshape(10, 10)
    shown = stretched(pixels[:, 40:70, 40:70], pixels)
    assert len(np.unique(shown)) > 90
    assert (shown.min(), shown.max()) == (0, 255)


def test_one_hot_pixel_leaves_the_picture_bright():
    pixels = np.random.default_rng(0).integers(100, 200, (1, 80, 80)).astype(np.uint16)
    pixels[0, 40, 40] = 4095
    assert stretched(pixels, pixels).mean() > 100


def test_each_channel_has_a_range_of_its_own_but_photographs_stay_as_they_are():
    ramp = np.linspace(0, 1, 6400, dtype=np.float32).reshape(80, 80)
    pixels = np.stack([1000 * ramp, ramp, ramp - 5, 0 * ramp])
    shown = stretched(pixels, pixels)
    assert [np.ptp(channel) for channel in shown] == [255, 255, 255, 0]
    photograph = (200 * pixels[:3] / 1000).astype(np.uint8)
    assert np.array_equal(stretched(photograph, photograph), photograph)


def test_doubted_pixels_are_orange_believed_ones_blue_and_the_rest_grey():
    one = drawn()
    colours = picture(one.trust)
    scale = colours.shape[0] / (one.window[2] - one.window[0])
    doubted = colours[int(30 * scale), int(30 * scale)].astype(int)
    believed = colours[int(50 * scale), int(5 * scale)].astype(int)
    assert doubted[0] > doubted[2] + 60
    assert believed[2] > believed[0] + 60
    assert np.ptp(colours[0, 0].astype(int)) < 8


def test_outlines_are_where_the_masks_are():
    one = drawn()
    numbers = [
        np.array(re.findall(r"[\d.]+", path), float).reshape(-1, 2)
        for path in (one.annotation, one.proposal)
    ]
    top, left = one.window[:2]
    assert numbers[0].min(0).tolist() == [20 - left, 20 - top]
    assert numbers[0].max(0).tolist() == [40 - left, 40 - top]
    assert numbers[1].max(0).tolist() == [60 - left, 40 - top]


def test_names_never_become_part_of_the_page():
    one = drawn(name=EVIL, annotator=EVIL)
    tags = Tags()
    tags.feed(page(one, name=EVIL, annotator=EVIL))
    assert "script" not in tags.tags
    assert "img" not in tags.tags
    assert not tags.handlers
    assert all(a.startswith(("data:image/", "#i")) for a in tags.addresses)


def test_the_page_is_no_larger_than_its_pictures_and_can_be_empty():
    one = drawn((900, 1200))
    many = page(*[one] * 20)
    assert len(many) < 20 * 80_000
    assert "Nothing contradicts" in page()


def test_suspects_without_pictures_are_not_passed_over():
    assert "7 suspects are in suspects.csv; no pictures were asked for." in page(suspects=7)
    assert "1 suspect is in suspects.csv" in page(suspects=1)
    assert "Nothing contradicts" not in page(suspects=7)


def test_a_suspect_without_trust_is_shown_as_such():
    given = np.zeros((40, 40), np.int16)
    chances = np.full((1, 40, 40), 0.9, np.float32)
    (suspect,) = find_suspects(given, None, chances)
    assert isinstance(suspect, Suspect)
    one = draw_suspect(suspect, np.zeros((1, 40, 40)), given, 1 - chances[0])
    assert "none learned" in page(one)


def test_a_mask_without_annotated_pixels_is_shown_without_a_number():
    some = ExpectedOverlap(*np.array([[9.0, 5.0], [9.0, 9.0], [9.0, 9.0], [1.0, 1.0]]))
    none = ExpectedOverlap(*np.zeros((4, 2)))
    for qualities in ([Quality("b", "", none, some), Quality("c", "", some, some)], []):
        summary = ReviewSummary("a", qualities, {}, {}, [], ["b"], (0, 255), has_trust=True)
        shown = report_html(summary, [])
        assert ">nan<" not in shown
        assert ("<b>0.556</b>" if qualities else "<b>–</b>") in shown
        names = re.findall(r"<tr><td>(\w)</td>", shown)
        assert names == (["c", "b"] if qualities else [])  # the worst first, those without last
