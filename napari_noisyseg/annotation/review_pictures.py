"""Pictures of a suspect for a page: the image around it, outlines as vectors, and the trust.

The image is cut out once, as JPEG of at most `SIDE` pixels a side, so that the page stays small
whatever the image's size; outlines are SVG paths in the image's own pixels and stay sharp.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

from napari_noisyseg.annotation.suspect import Box, Suspect

SIDE = 256
"""Longest side of a cut-out picture in pixels."""
_ROOM = 3  # the region fills a third of the cut-out
_LEAST = 48  # image pixels
_TOLERANCE = 1.0 / 400  # of the cut-out's side, by which an outline may be simplified
_ALIKE = 1e-3  # of a channel's range: percentiles nearer than this show two values, not a picture
# From doubted to believed: orange, nearly white, blue; told apart by colour-blind people too.
_RAMP = np.array([[213, 94, 0], [247, 244, 238], [0, 90, 150]], np.float64)
_NOT_ANNOTATED = (150, 150, 150)


@dataclass(frozen=True)
class SuspectPictures:
    """What a page shows of a suspect.

    Attributes
    ----------
    suspect
        The region.
    window
        Top, left, bottom, right of the cut-out, in the image's pixels.
    image, trust
        The cut-out and its trust as ``data:`` addresses.
    annotation, proposal
        Outlines of the objects of the given class, or of the proposed one where background was
        given, and the other way round; as the ``d`` of an SVG path whose unit is a pixel of the
        window.
    """

    suspect: Suspect
    window: Box
    image: str
    trust: str
    annotation: str
    proposal: str


def draw_suspect(
    suspect: Suspect,
    pixels: NDArray[Any],
    given: NDArray[Any],
    trust: NDArray[np.float32],
) -> SuspectPictures:
    """Draw a suspect.

    Parameters
    ----------
    suspect
        The region.
    pixels
        (channels, height, width), the slice of the image, any real dtype.
    given
        (height, width), class indices as annotated.
    trust
        (height, width), 0 to 1: trust in the given labels, or 1 minus the probability of an error.
    """
    window = cut_out(suspect.box, given.shape)
    rows, columns = slice(window[0], window[2]), slice(window[1], window[3])
    corrected = given.copy()
    corrected[suspect.window][suspect.mask] = suspect.proposed
    before, after = given[rows, columns], corrected[rows, columns]
    believed = _ramp(trust[rows, columns])
    believed[before < 0] = _NOT_ANNOTATED
    return SuspectPictures(
        suspect,
        window,
        _jpeg(_photograph(pixels, rows, columns)),
        _png(believed),
        outlines(before, suspect.given or suspect.proposed),
        outlines(after, suspect.proposed or suspect.given),
    )


def cut_out(box: Box, shape: Sequence[int]) -> Box:
    """Return the window around a box in which the box fills about a third of each side."""
    side = max(_LEAST, _ROOM * max(box[2] - box[0], box[3] - box[1]))
    result = []
    for low, high, length in ((box[0], box[2], shape[0]), (box[1], box[3], shape[1])):
        width = min(side, length)
        start = min(max(0, (low + high - width) // 2), length - width)
        result.append((start, start + width))
    (top, bottom), (left, right) = result
    return top, left, bottom, right


def outlines(indices: NDArray[Any], index: int) -> str:
    """Return the outlines of a class as an SVG path; the unit is a pixel, whose middle is at .5."""
    tolerance = max(0.4, _TOLERANCE * max(indices.shape))
    parts = []
    for contour in find_contours(np.pad(indices == index, 1).astype(np.float32), 0.5):
        # One pixel of padding, half a pixel from corners to middles.
        points = approximate_polygon(contour, tolerance) - 0.5
        points = np.clip(points, 0, indices.shape)
        steps = "L".join(f"{x:.4g} {y:.4g}" for y, x in points)
        parts.append(f"M{steps}Z")
    return "".join(parts)


def stretched(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a part of a slice as uint8, between the 1st and the 99th percentile of the whole.

    Each channel has its own percentiles. Where they hardly differ although the channel does, as in a
    slice that is dark but for a few small objects, minimum and maximum take their place.

    Parameters
    ----------
    part, whole
        (channels, height, width), any real dtype; uint8 stays as it is.
    """
    if part.dtype == np.uint8:
        return part
    low, high = np.percentile(whole[:, ::4, ::4].astype(np.float64), (1, 99), (1, 2), keepdims=True)
    darkest = whole.min((1, 2), keepdims=True).astype(np.float64)
    brightest = whole.max((1, 2), keepdims=True).astype(np.float64)
    alike = high - low <= _ALIKE * (brightest - darkest)
    low, high = np.where(alike, darkest, low), np.where(alike, brightest, high)
    scaled = (part.astype(np.float64) - low) / np.maximum(high - low, 1e-12)
    result: NDArray[np.uint8] = (scaled.clip(0, 1) * 255).astype(np.uint8)
    return result


def _photograph(pixels: NDArray[Any], rows: slice, columns: slice) -> NDArray[np.uint8]:
    """Return a cut-out as (height, width) or (height, width, 3), as bright as the slice allows."""
    shown = pixels[:3] if len(pixels) in (3, 4) else pixels[:1]
    part = stretched(shown[:, rows, columns], shown)
    return part[0] if len(part) == 1 else np.moveaxis(part, 0, -1)


def _ramp(trust: NDArray[np.float32]) -> NDArray[np.uint8]:
    places = [0.0, 0.5, 1.0]
    colours = np.stack([np.interp(trust, places, channel) for channel in _RAMP.T], -1)
    result: NDArray[np.uint8] = np.rint(colours).astype(np.uint8)
    return result


def _small(pixels: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    _small(pixels).save(buffer, format="JPEG", quality=82)
    return _address("jpeg", buffer.getvalue())


def _png(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    # A palette of 64 colours, which no eye tells from the full ramp, is a third of the bytes.
    _small(pixels).quantize(64, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
    return _address("png", buffer.getvalue())


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
