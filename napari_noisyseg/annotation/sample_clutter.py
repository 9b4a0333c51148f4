"""What lies about in photographs of skin lesions: hairs, a ruler, ink, a sticker, bubbles, light.

Each part takes the generator and the picture, (size, size, 3), float64, 0 to 1, and returns the
picture with the part or, where chance says so, without it.
"""

from __future__ import annotations

import numpy as np

from napari_noisyseg.annotation.sample_textures import Field, clouds, curve, grid, strokes


def hairs(rng: np.random.Generator, image: Field) -> Field:
    """Lay hairs over some pictures, mostly combed one way."""
    if rng.random() > 0.4:
        return image
    size = len(image)
    combed = rng.uniform(0, 2 * np.pi)
    thick = rng.random() < 0.5
    curves = []
    for _ in range(int(rng.integers(3, 12) if thick else rng.integers(10, 40))):
        start = rng.uniform(-0.6, 0.6, 2)
        angle = combed + rng.normal(0, 0.45)
        reach = rng.uniform(0.2, 0.9) * np.array([np.sin(angle), np.cos(angle)])
        bend = start + reach / 2 + rng.normal(0, 0.09, 2)
        curves.append(curve(start, bend, start + reach))
    width = rng.uniform(0.004, 0.007) if thick else rng.uniform(0.0015, 0.0035)
    cover = rng.uniform(0.6, 0.95) * strokes(size, curves, width, taper=True)
    colour = np.array([0.25, 0.16, 0.12]) * rng.uniform(0.4, 1.6)
    return np.asarray(image * (1 - cover[..., None]) + colour * cover[..., None])


def ruler(rng: np.random.Generator, image: Field) -> Field:
    """Draw a small scale bar with ticks into some pictures, away from the middle."""
    if rng.random() > 0.3:
        return image
    side = rng.choice([-1.0, 1.0])
    middle = np.array([side * rng.uniform(0.30, 0.42), rng.uniform(-0.2, 0.2)])
    if rng.random() < 0.3:
        middle = middle[::-1]
    angle = rng.uniform(-0.6, 0.6)
    along = np.array([np.sin(angle), np.cos(angle)])
    across = np.array([-along[1], along[0]])
    half, ticks = rng.uniform(0.15, 0.25), int(rng.integers(6, 14))
    lines = [curve(middle - half * along, middle, middle + half * along)]
    for tick, place in enumerate(np.linspace(-half, half, ticks)):
        foot = middle + place * along
        tip = foot + across * (0.035 if tick % 5 == 0 else 0.02)
        lines.append(curve(foot, (foot + tip) / 2, tip))
    cover = rng.uniform(0.5, 0.9) * strokes(len(image), lines, 0.005)
    return np.asarray(image * (1 - cover[..., None]) + 0.12 * cover[..., None])


def ink(rng: np.random.Generator, image: Field) -> Field:
    """Leave a surgeon's purple pen mark on a few pictures."""
    if rng.random() > 0.12:
        return image
    angle = rng.uniform(0, 2 * np.pi)
    centre = 0.42 * np.array([np.sin(angle), np.cos(angle)]) + rng.normal(0, 0.04, 2)
    curves = []
    for _ in range(int(rng.integers(1, 4))):
        start, bend, end = centre + rng.normal(0, 0.06, (3, 2))
        curves.append(curve(start, bend, end))
    cover = strokes(len(image), curves, 0.02)
    cover *= np.clip(0.8 + 0.3 * clouds(rng, len(image), 0.03), 0, 1)
    return np.asarray(image * np.exp(-cover[..., None] * np.array([0.75, 1.1, 0.45])))


def sticker(rng: np.random.Generator, image: Field, distance: Field) -> Field:
    """Put the edge of a coloured colour-calibration sticker into some pictures."""
    if rng.random() > 0.22:
        return image
    size = len(image)
    rows, columns = grid(size)
    angle = rng.uniform(0, 2 * np.pi)
    centre = rng.uniform(0.5, 0.62) * np.array([np.sin(angle), np.cos(angle)])
    tall, wide = rng.uniform(0.16, 0.28, 2)
    edge = np.hypot((rows - centre[0]) / tall, (columns - centre[1]) / wide) - 1
    if (distance[edge < 0.1] < 0.03).any():
        return image  # it would lie on the lesion
    colours = [(0.10, 0.45, 0.75), (0.95, 0.82, 0.12), (0.93, 0.50, 0.12), (0.12, 0.58, 0.25)]
    colours += [(0.35, 0.75, 0.76), (0.62, 0.30, 0.16)]
    colour = np.array(colours[int(rng.integers(len(colours)))])
    texture = 1 + 0.04 * clouds(rng, size, 0.015) - 0.12 * np.clip(1 + edge, 0, 1) ** 6
    cover = np.clip(0.5 - edge * min(tall, wide) * size, 0, 1)[..., None]
    shadow = 1 - 0.18 * np.exp(-np.clip(edge, 0, None) * 18)[..., None]
    return np.asarray(image * shadow * (1 - cover) + colour * texture[..., None] * cover)


def bubbles(rng: np.random.Generator, image: Field) -> Field:
    """Leave bubbles of immersion gel and glints on some pictures."""
    if rng.random() > 0.3:
        return image
    rows, columns = grid(len(image))
    for _ in range(int(rng.integers(1, 9))):
        row, column = rng.uniform(-0.5, 0.5, 2)
        radius = rng.uniform(0.006, 0.03)
        away = np.hypot(rows - row, columns - column)
        ring = np.exp(-(((away - radius) / 0.006) ** 2)) * rng.uniform(0.05, 0.3)
        shine = np.hypot(rows - row + radius / 2, columns - column + radius / 2)
        glint = np.exp(-((shine / 0.007) ** 2)) * rng.uniform(0.1, 0.6)
        light = np.clip(ring * 0.6 + glint, 0, 1)[..., None]
        image = image * (1 - light) + 0.97 * light
    return image


def light(rng: np.random.Generator, image: Field) -> Field:
    """Light the picture: a slope of brightness, darker corners, sometimes the tube's black rim."""
    rows, columns = grid(len(image))
    angle = rng.uniform(0, 2 * np.pi)
    slope = 1 + rng.uniform(0, 0.22) * (rows * np.sin(angle) + columns * np.cos(angle))
    away = np.hypot(rows - rng.normal(0, 0.03), columns - rng.normal(0, 0.03))
    light = slope * (1 - rng.uniform(0.1, 0.6) * away**2)
    if rng.random() < 0.22:
        rim = (away - rng.uniform(0.52, 0.64)) / rng.uniform(0.008, 0.03)
        light *= 1 / (1 + np.exp(np.clip(rim, -40, 40)))
    return np.asarray(image * light[..., None])
