"""What reviewing noisy annotations gains: the suspects' order and precision, and automatic correction.

Needs the development data (``../shared/data`` or ``$NOISYSEG_DATA``). For each data set, noise and seed
it simulates noisy masks, trains, finds the suspects, and asks an oracle, which knows the true masks,
about one suspect after the other: it accepts a proposal if more than half of its pixels are right, and
keeps the annotation otherwise. Every run is a row of ``review.csv`` and of ``curves.csv``; started
again, it goes on where it was, and the plot and the table are made anew.

    python benchmarks/review.py --seeds 0 1 2 3 4 --out figures
    python benchmarks/review.py --time                      # suspects of 512 px images

The orders that the suspects' own is held against, from the same predictions, are the label quality
scores that cleanlab publishes (V. Lad, J. Mueller: Estimating label quality and errors in semantic
segmentation data via any model, 2023): per pixel the self-confidence s, the probability of the given
class; per image softmin(s) = sum_k s_k w_k, w = softmax((1 - s) / 0.1); lower is worse. A region has
the softmin, or the mean, of its own pixels.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from grid import NOISES, WORDS

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.suspects import Suspect, ranked, review_image
from napari_noisyseg.files import csv_text, write_file
from napari_noisyseg.learning.training import train
from napari_noisyseg.study.noises import clean_example, noisy_examples, parse_noise
from napari_noisyseg.study.subjects import draw_sets, find_subjects

DATA = Path(os.environ.get("NOISYSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS = {"chest_xray": "hearts"}
CLEAN = 10
SHARES = np.linspace(0, 1, 101)
ABOVE = (0.5, 0.8, 0.9, 0.95)
TEMPERATURE = 0.1
STYLES: dict[str, dict[str, Any]] = {
    "ours": {"lw": 2.6, "color": "#0072b2", "zorder": 5},
    "the best there is": {"lw": 1.4, "color": "black", "ls": ":"},
    "at random": {"lw": 1.1, "color": "#999999"},
}
COLUMNS = (
    "data", "noise", "seed", "images", "suspects", "dice", "dice_10", "dice_20", "dice_50",
    "dice_all", "half_of_rest", "sure_then_20", "precision_50", "precision_all",
    *(f"apply_{above}" for above in ABOVE), *(f"applied_{above}" for above in ABOVE),
    "quality_correlation", "quality_error", "best_20", "seconds_training", "seconds_review",
)  # fmt: skip


@dataclass(frozen=True)
class Reviewed:
    """The noisy images of one run: annotations, truth, self-confidence, and suspects."""

    given: dict[str, np.ndarray]
    true: dict[str, np.ndarray]
    confidence: dict[str, np.ndarray]
    expected: dict[str, float]
    suspects: list[Suspect]
    training_seconds: float
    review_seconds: float


def softmin(scores: np.ndarray) -> float:
    """Return the soft minimum of scores from 0 to 1."""
    weights = np.exp((1 - scores - (1 - scores).max()) / TEMPERATURE)
    return float((scores * weights).sum() / weights.sum())


def region(values: dict[str, np.ndarray], suspect: Suspect) -> np.ndarray:
    """Return an image's values in a suspect's pixels."""
    part: np.ndarray = values[suspect.name][suspect.page][suspect.window][suspect.mask]
    return part


def orders(run: Reviewed) -> dict[str, list[Suspect]]:
    """Return the suspects in the order of every score, the first to review first."""
    image = {name: softmin(s.ravel()) for name, s in run.confidence.items()}
    mean = {id(s): float(region(run.confidence, s).mean()) for s in run.suspects}
    soft = {id(s): softmin(region(run.confidence, s)) for s in run.suspects}
    draw = np.random.default_rng(0).permutation(len(run.suspects))
    keys: dict[str, Callable[[Suspect], Any]] = {
        "region, mean self-confidence": lambda s: mean[id(s)],
        "region, softmin": lambda s: soft[id(s)],
        "image, softmin": lambda s: (image[s.name], mean[id(s)]),
        "largest first": lambda s: -s.area,
    }
    found = {"ours": ranked(run.suspects)}
    found["the best there is"] = sorted(run.suspects, key=lambda s: -true_gain(run, s))
    found |= {name: sorted(run.suspects, key=key) for name, key in keys.items()}
    return found | {"at random": [run.suspects[i] for i in draw]}


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Dice of the objects of two masks; 1 if both are empty."""
    one, other = one > 0, other > 0
    total = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def true_gain(run: Reviewed, suspect: Suspect) -> float:
    """Return by how much accepting one suspect alone raises its image's Dice."""
    mask = run.given[suspect.name].copy()
    before = dice(mask, run.true[suspect.name])
    mask[suspect.page][suspect.window][suspect.mask] = suspect.proposed
    return dice(mask, run.true[suspect.name]) - before


def right(run: Reviewed, suspect: Suspect) -> bool:
    """Return what the oracle says: whether more than half of a proposal's pixels are right."""
    return float((region(run.true, suspect) == suspect.proposed).mean()) > 0.5


def settled(
    run: Reviewed, order: Sequence[Suspect], answers: Callable[[Suspect], bool]
) -> list[float]:
    """Return the annotations' mean Dice after none, one, two ... all suspects are settled."""
    masks = {name: mask.copy() for name, mask in run.given.items()}
    each = {name: dice(mask, run.true[name]) for name, mask in masks.items()}
    total = sum(each.values())
    curve = [total / len(each)]
    for suspect in order:
        if answers(suspect):
            region_of = masks[suspect.name][suspect.page][suspect.window]
            region_of[suspect.mask] = suspect.proposed
            total -= each[suspect.name]
            each[suspect.name] = dice(masks[suspect.name], run.true[suspect.name])
            total += each[suspect.name]
        curve.append(total / len(each))
    return curve


def sure_then_fifth(run: Reviewed) -> float:
    """Return the Dice after all from .95 on are accepted unseen, and a fifth of the others settled."""
    order = ranked(run.suspects)
    sure = [suspect for suspect in order if suspect.credibility >= ABOVE[-1]]
    others = [suspect for suspect in order if suspect.credibility < ABOVE[-1]]
    curve = settled(run, sure + others, lambda s: s.credibility >= ABOVE[-1] or right(run, s))
    return at(curve[len(sure) :], 0.2)


def at(curve: Sequence[float], share: float) -> float:
    """Return the Dice after a share of the suspects, rounded up to whole ones."""
    return curve[int(np.ceil(share * (len(curve) - 1) - 1e-9))]


def reviewed(data: str, noise: str, seed: int, given: argparse.Namespace) -> Reviewed:
    """Simulate, train, and find the suspects."""
    subjects = find_subjects(DATA / data / "images", DATA / data / "masks")[: given.limit]
    sets = draw_sets(subjects, seed, test=1, validation=0, clean=CLEAN)
    drawn = parse_noise(noise)
    examples = [clean_example(subject, Role.CLEAN) for subject in sets.clean]
    for subject in sets.noisy:
        examples += noisy_examples(subject, drawn, "given", seed)
    began = time.perf_counter()
    finished = train(
        examples, seed=seed, size=given.size, epochs=given.epochs, method=given.method,
        validation_share=0.0, device=given.device,
    ).result  # fmt: skip
    trained = time.perf_counter() - began
    maps = finished.maps
    assert maps is not None
    by_name = {subject.name: subject for subject in sets.noisy}
    noisy = {(e.name, e.annotator): e for e in examples if e.role is Role.NOISY}
    run = Reviewed({}, {}, {}, {}, [], trained, 0.0)
    seconds = 0.0
    for index, (name, annotator) in enumerate(maps.names):
        example = noisy[name, annotator]
        truth = clean_example(by_name[name], Role.CLEAN)
        assert example.read_label is not None
        assert truth.read_label is not None
        indices = (example.read_label() > 0).astype(np.int16)
        chances = finished.model.probabilities(example.read_image())
        trust = maps.read(index)
        began = time.perf_counter()
        review = review_image(indices, trust, chances, name=name)
        seconds += time.perf_counter() - began
        run.given[name] = indices
        run.true[name] = (truth.read_label() > 0).astype(np.int16)
        run.confidence[name] = np.where(indices == 1, chances[:, 0], 1 - chances[:, 0])
        run.expected[name] = review.quality.expected_dice
        run.suspects.extend(review.suspects)
    return Reviewed(
        run.given, run.true, run.confidence, run.expected, run.suspects, trained, seconds
    )


def measured(run: Reviewed) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return the row of a run, and its curves by order."""
    found = orders(run)
    curves = {
        name: [at(settled(run, order, lambda s: right(run, s)), share) for share in SHARES]
        for name, order in found.items()
    }
    ours = curves["ours"]
    answers = [right(run, suspect) for suspect in found["ours"]]
    real = np.array([dice(run.given[name], run.true[name]) for name in run.given])
    expected = np.array([run.expected[name] for name in run.given])
    row: dict[str, Any] = {
        "images": len(run.given),
        "suspects": len(run.suspects),
        "dice": ours[0],
        "dice_10": ours[10],
        "dice_20": ours[20],
        "dice_50": ours[50],
        "dice_all": ours[100],
        "best_20": curves["the best there is"][20],
        "half_of_rest": (ours[20] - ours[0]) / max(1 - ours[0], 1e-9),
        "sure_then_20": sure_then_fifth(run),
        "precision_50": float(np.mean(answers[:50])) if answers else float("nan"),
        "precision_all": float(np.mean(answers)) if answers else float("nan"),
        "quality_correlation": float(np.corrcoef(real, expected)[0, 1]),
        "quality_error": float(np.abs(real - expected).mean()),
        "seconds_training": run.training_seconds,
        "seconds_review": run.review_seconds,
    }
    for above in ABOVE:
        chosen = [suspect for suspect in run.suspects if suspect.credibility >= above]
        row[f"apply_{above}"] = settled(run, chosen, lambda _: True)[-1]
        row[f"applied_{above}"] = len(chosen)
    return row, curves


def time_suspects() -> None:
    """Print the time that the suspects of a hundred images of 512 x 512 pixels take."""
    rows, columns = np.mgrid[:512, :512]
    rng = np.random.default_rng(0)
    for classes, objects in ((2, 1), (2, 3), (2, 12), (5, 12)):
        seconds = 0.0
        for _ in range(25):
            given, true = np.zeros((2, 512, 512), np.int16)
            for number in range(objects):
                row, column, radius = rng.uniform((40, 40, 15), (470, 470, 60))
                kind = number % (classes - 1) + 1
                true[np.hypot(rows - row, columns - column) < radius] = kind
                given[np.hypot(rows - row - 6, columns - column) < 0.9 * radius] = kind
            blur = rng.uniform(0, 0.1, (classes, 512, 512)).astype(np.float32)
            np.put_along_axis(blur, true[None].astype(np.intp), 0.9, 0)
            chances = blur / blur.sum(0)
            trust = np.where(given == true, np.float32(0.9), np.float32(0.1))
            began = time.process_time()
            review_image(given[None], trust[None], (chances[1:] if classes == 2 else chances)[None])
            seconds += time.process_time() - began
        each = f"{classes} classes, {objects} wrong objects an image"
        print(f"{each}: {4 * seconds:.2f} s of one processor per hundred images")


def cells_of(rows: Sequence[dict[str, str]]) -> list[tuple[str, str]]:
    """Return data set and noise of every cell, as they come."""
    return list(dict.fromkeys((row["data"], row["noise"]) for row in rows))


def title(cell: tuple[str, str]) -> str:
    """Return how to say a cell."""
    return f"{SETS.get(cell[0], cell[0])}, {WORDS.get(cell[1], cell[1])}"


def curves_of(rows: Sequence[dict[str, str]], cell: tuple[str, str]) -> dict[str, np.ndarray]:
    """Return the curve of every order in a cell, mean over the seeds."""
    found: dict[str, list[list[float]]] = {}
    for row in rows:
        if (row["data"], row["noise"]) == cell:
            found.setdefault(row["order"], []).append([float(row[f"{s:.2f}"]) for s in SHARES])
    return {order: np.mean(curves, 0) for order, curves in found.items()}


def draw(rows: Sequence[dict[str, str]], out: Path) -> None:
    """Plot the curves, a panel per data set and noise, means over the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from io import BytesIO

    from matplotlib import pyplot

    cells = [cell for cell in cells_of(rows) if cell[1] != "none"]
    height = -(-len(cells) // 3)
    figure, axes = pyplot.subplots(height, 3, figsize=(12, 3.1 * height), squeeze=False)
    for place in axes.flat[len(cells) :]:
        place.set_visible(False)
    for place, cell in zip(axes.flat, cells, strict=False):
        for order, curve in curves_of(rows, cell).items():
            style = STYLES.get(order, {"lw": 1.1})
            place.plot(100 * SHARES, curve, label=order, **style)
        place.axvline(20, color="#bbbbbb", lw=0.8, zorder=0)
        place.set_title(title(cell), fontsize=10)
        for side in ("top", "right"):
            place.spines[side].set_visible(False)
    for place in axes.flat[max(0, len(cells) - 3) : len(cells)]:
        place.set_xlabel("suspects reviewed, %")
    for place in axes[:, 0]:
        place.set_ylabel("Dice of the annotations")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    beside = bool(len(cells) % 3)  # there is room in the last row
    figure.legend(
        handles, labels, loc="lower right" if beside else "lower center",
        ncols=2 if beside else 4, fontsize=10, frameon=False,
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0 if beside else 0.06, 1, 1))
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=84, pil_kwargs={"optimize": True})
    write_file(out / "review.png", buffer.getvalue())


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table that may not be there yet."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Run what is missing, then draw the plot and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["chest_xray", "dermoscopy"])
    parser.add_argument("--noises", nargs="+", default=NOISES.split())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--method", default="trust")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=15, help="of 20 steps of 8 + 8 images")
    parser.add_argument("--limit", type=int, default=100, help="images of each data set")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("review-figures"))
    parser.add_argument("--time", action="store_true", help="only time the suspects")
    given = parser.parse_args()
    if given.time:
        time_suspects()
        return
    given.out.mkdir(parents=True, exist_ok=True)
    tables = given.out / "review.csv", given.out / "curves.csv"
    for seed in given.seeds:
        for data in given.data:
            if not (DATA / data).is_dir():
                print(f"skipped: no {DATA / data}")
                continue
            for noise in given.noises:
                place = {"data": data, "noise": noise, "seed": str(seed)}
                rows, curves = (read(table) for table in tables)
                if any(all(row[key] == value for key, value in place.items()) for row in rows):
                    continue
                row, found = measured(reviewed(data, noise, seed, given))
                lines = [[old[name] for name in COLUMNS] for old in rows]
                lines.append([{**place, **row}[name] for name in COLUMNS])
                header = [*place, "order", *(f"{share:.2f}" for share in SHARES)]
                points: list[list[Any]] = [[old[name] for name in header] for old in curves]
                points += [[*place.values(), order, *curve] for order, curve in found.items()]
                write_file(tables[1], csv_text(header, points))
                write_file(tables[0], csv_text(COLUMNS, lines))
                print(" ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}"
                               for k, v in {**place, **row}.items()), flush=True)  # fmt: skip
    draw(read(tables[1]), given.out)
    table(read(tables[0]), read(tables[1]))


def table(rows: Sequence[dict[str, str]], curves: Sequence[dict[str, str]]) -> None:
    """Print the means over the seeds, and the area under the curve of every order, in Markdown."""
    shown = {
        "dice": "given", "dice_20": "first 20 %", "best_20": "best order", "dice_all": "all",
        "half_of_rest": "share of the rest", "sure_then_20": "sure, then 20 %",
        "precision_50": "precision of 50",
        "apply_0.95": "apply .95", "applied_0.95": "regions",
    }  # fmt: skip
    print("| data, noise | seeds | suspects | " + " | ".join(shown.values()) + " |")
    print("| --- " * (3 + len(shown)) + "|")
    for cell in cells_of(rows):
        here = [row for row in rows if (row["data"], row["noise"]) == cell]
        suspects = np.mean([int(row["suspects"]) for row in here])
        means = [mean(row[name] for row in here) for name in shown]
        print(f"| {title(cell)} | {len(here)} | {suspects:.0f} | " + " | ".join(means) + " |")
    names = list(dict.fromkeys(row["order"] for row in curves))
    print("\n| data, noise | " + " | ".join(names) + " |")
    print("| --- " * (1 + len(names)) + "|")
    for cell in cells_of(rows):
        areas = [f"{curve.mean():.4f}" for curve in curves_of(curves, cell).values()]
        print(f"| {title(cell)} | " + " | ".join(areas) + " |")


def mean(values: Iterable[str]) -> str:
    """Return the mean of a column's numbers; of those that are there."""
    numbers = [float(value) for value in values if value]
    return f"{np.mean(numbers):.3f}" if numbers else ""


if __name__ == "__main__":
    main()
