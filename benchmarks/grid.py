"""The full comparison: what the folders of several `compare` commands say together, in one picture.

    python benchmarks/grid.py --commands                        # what to run first
    python benchmarks/grid.py --out docs/images/comparison.png figures/* --others others/*

Prints a table of every cell (data and noise), and how far each goal of the default is reached.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_noisyseg.files import write_file

DATA = "../shared/data"
NOISES = " ".join(
    ["none", "polygon:vertices=3", "polygon:vertices=4,placement=random", "box",
     "mixed:beta=0.7,share=0.7", "markov"]
)  # fmt: skip
SHARED = "--epochs 10 --set shortest_epoch=30 --set sampling=resize"
ALTERNATIVES = ("clean", "joint", "finetune", "meanteacher")
OTHERS = ("plain", "gce", "tloss", "evidence", "image", "paper")
"""Run with fewer seeds: they have a table of their own."""
OURS, CEILING = "trust", "oracle"
WORDS = {
    "none": "no noise",
    "polygon": "triangles",
    "polygon:vertices=3": "triangles",
    "polygon:vertices=4,placement=random": "quadrilaterals",
    "box": "boxes",
    "mixed:beta=0.7,share=0.7": "dilate, erode, affine",
    "markov": "Markov, shrinking",
    "one of 7 annotators": "one crowd worker each",
}
STYLES = {
    "clean": ("s", "#56b4e9"),
    "joint": ("^", "#e69f00"),
    "finetune": ("v", "#cc79a7"),
    "meanteacher": ("D", "#999999"),
}
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Cell:
    """One data set and noise: the Dice of every method, by seed."""

    data: str
    noise: str
    dice: dict[str, dict[int, float]]
    rows: Rows

    @property
    def title(self) -> str:
        """How to say it."""
        return f"{self.data}, {WORDS.get(self.noise, self.noise)}"

    def mean(self, method: str) -> float:
        """Mean over the seeds that the default and the method share."""
        shared = self.dice[method].keys() & self.dice[OURS].keys()
        return float(np.mean([self.dice[method][seed] for seed in shared]))

    @property
    def best(self) -> tuple[str, float]:
        """The best alternative and its Dice."""
        found = {m: self.mean(m) for m in ALTERNATIVES}
        name = max(found, key=lambda m: found[m])
        return name, found[name]

    def detected(self, score: str) -> float:
        """Mean of a measure of error detection over the default's runs; nan without errors."""
        values = [float(r[score]) for r in self.rows if r["method"] == OURS and r[score]]
        return float(np.mean(values)) if values else float("nan")


def rows_of(folder: Path) -> Rows:
    """Read the runs of one comparison."""
    with (folder / "runs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read(folders: Sequence[Path], others: Sequence[Path] = ()) -> list[Cell]:
    """Read the rows of all folders; a cell counts when it has a run of every main method.

    Rows of `others` are added to the folder of the same name.
    """
    cells = []
    for folder in folders:
        rows = rows_of(folder)
        for other in others:
            rows += rows_of(other) if other.name == folder.name else []
        by_noise: dict[str, Rows] = defaultdict(list)
        for row in rows:
            by_noise[row["noise"]].append(row)
        for noise, here in by_noise.items():
            dice: dict[str, dict[int, float]] = defaultdict(dict)
            for row in here:
                dice[row["method"]][int(row["seed"])] = float(row["dice"])
            if {OURS, CEILING, *ALTERNATIVES} <= dice.keys():
                cells.append(Cell(folder.name.replace("_", " "), noise, dict(dice), here))
    return cells


def table(cells: Sequence[Cell]) -> str:
    """Return a Markdown table of every cell."""
    methods = [*ALTERNATIVES, OURS, CEILING]
    lines = [
        "| data, noise | seeds | "
        + " | ".join(methods)
        + " | AUROC trust, band | `abs(p - y)`, band |",
        "| --- " * (len(methods) + 4) + "|",
    ]
    for cell in cells:
        best = max(cell.mean(m) for m in (*ALTERNATIVES, OURS))
        means = []
        for method in methods:
            mean = f"{cell.mean(method):.3f}"
            is_best = method != CEILING and cell.mean(method) == best
            means.append(f"**{mean}**" if is_best else mean)
        found = [
            f"{cell.detected(f'{score}_auroc'):.3f}, {cell.detected(f'{score}_band_auroc'):.3f}"
            for score in ("trust", "difference")
        ]
        found = ["" if "nan" in each else each for each in found]
        lines.append(
            f"| {cell.title} | {len(cell.dice[OURS])} | " + " | ".join([*means, *found]) + " |"
        )
    return "\n".join(lines)


def others_table(cells: Sequence[Cell]) -> str:
    """Return a Markdown table of the other methods; every mean is over the seeds of that method.

    Beside each mean stands the difference to the default on the same seeds, in points.
    """
    there = [m for m in OTHERS if any(m in cell.dice for cell in cells)]
    lines = ["| data, noise | " + " | ".join(there) + " | gap closed |",
             "| --- " * (len(there) + 2) + "|"]  # fmt: skip
    for cell in cells:
        if not any(m in cell.dice for m in there):
            continue
        means = []
        for method in there:
            seeds = sorted(cell.dice.get(method, {}).keys() & cell.dice[OURS].keys())
            ours = np.mean([cell.dice[OURS][seed] for seed in seeds]) if seeds else np.nan
            mean = np.mean([cell.dice[method][seed] for seed in seeds]) if seeds else np.nan
            means.append(f"{mean:.3f} ({100 * (mean - ours):+.1f}, {len(seeds)})" if seeds else "")
        closed = ""
        seeds = sorted(cell.dice.get("plain", {}).keys() & cell.dice[OURS].keys())
        if seeds and cell.noise != "none":
            plain, ours, all_true = (
                np.mean([cell.dice[m][seed] for seed in seeds]) for m in ("plain", OURS, CEILING)
            )
            closed = f"{(ours - plain) / (all_true - plain):.2f}"
        lines.append(f"| {cell.title} | " + " | ".join([*means, closed]) + " |")
    return "\n".join(lines)


def goals(cells: Sequence[Cell]) -> str:
    """Return how far each goal is reached, in points of Dice."""
    ours = np.array([cell.mean(OURS) for cell in cells])
    single = {m: np.mean([cell.mean(m) for cell in cells]) for m in ALTERNATIVES}
    name = max(single, key=lambda m: single[m])
    behind = {cell.title: 100 * (cell.best[1] - cell.mean(OURS)) for cell in cells}
    below = {cell.title: 100 * (cell.mean("clean") - cell.mean(OURS)) for cell in cells}
    gaps = [(cell.mean(OURS) - cell.best[1], cell.mean(CEILING) - cell.best[1]) for cell in cells]
    noisy = [gap for cell, gap in zip(cells, gaps, strict=True) if cell.noise != "none"]
    wrong = [cell for cell in cells if not np.isnan(cell.detected("trust_auroc"))]
    lines = [
        f"mean over cells: {OURS} {ours.mean():.4f}, "
        + ", ".join(f"{m} {v:.4f}" for m, v in single.items())
        + f"; ahead of {name} by {100 * (ours.mean() - single[name]):.2f} points",
        "behind the best alternative by more than half a point: "
        + (", ".join(f"{k} {v:.2f}" for k, v in behind.items() if v > 0.5) or "nowhere"),
        "below clean by more than half a point: "
        + (", ".join(f"{k} {v:.2f}" for k, v in below.items() if v > 0.5) or "nowhere"),
        f"share of the gap between best alternative and {CEILING} closed in cells with noise: "
        f"{sum(g[0] for g in noisy) / sum(g[1] for g in noisy):.2f} of all together, mean of the shares "
        f"{np.mean([g[0] / g[1] for g in noisy]):.2f}",
        "AUROC below .97: "
        + ", ".join(f"{c.title} {c.detected('trust_auroc'):.3f}" for c in wrong
                    if c.detected("trust_auroc") < 0.97),
        "AUROC below that of abs(p - y): "
        + ", ".join(c.title for c in wrong
                    if c.detected("trust_auroc") < c.detected("difference_auroc")),
        "AUROC in the band below .93: "
        + ", ".join(f"{c.title} {c.detected('trust_band_auroc'):.3f}" for c in wrong
                    if c.detected("trust_band_auroc") < 0.93),
    ]  # fmt: skip
    return "\n".join(lines)


def drawn(cells: Sequence[Cell]) -> bytes:
    """Draw a line for each cell; returns a PNG file's content."""
    figure = Figure(figsize=(8.6, 1.4 + 0.36 * len(cells)), layout="constrained")
    axes = figure.subplots()
    for place, cell in enumerate(cells):
        ceiling, ours = cell.mean(CEILING), cell.mean(OURS)
        axes.plot([ceiling, ceiling], [place - 0.34, place + 0.34], color="black", linewidth=2.2)
        axes.plot([cell.best[1], ours], [place, place], color="#0072b2", linewidth=4, alpha=0.3)
        for method, (marker, colour) in STYLES.items():
            axes.plot(cell.mean(method), place, marker, color=colour, markersize=6)
        axes.plot(ours, place, "o", color="#0072b2", markersize=10)
    for label, (marker, colour) in STYLES.items():
        axes.plot([], [], marker, color=colour, label=label)
    axes.plot([], [], "o", color="#0072b2", markersize=10, label="trust, the default")
    axes.plot([], [], "|", color="black", markersize=14, markeredgewidth=2.2,
              label="all masks true (oracle)")  # fmt: skip
    axes.set_yticks(range(len(cells)), [cell.title for cell in cells], fontsize=9)
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.set_xlabel("Dice on test images, mean of the seeds", fontsize=10)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def commands() -> str:
    """Return the commands that fill the folders."""
    main, others = " ".join([OURS, *ALTERNATIVES, CEILING]), " ".join(OTHERS)
    simulated = "--noise " + NOISES
    crowd = " ".join(f"--noisy {DATA}/cells_crowd/masks_crowd{i}" for i in range(1, 8))
    triangles = "--noise polygon:vertices=3"
    parts = [
        ("dermoscopy", "masks", simulated, "--test 30 --clean 10 --size 64", "dermoscopy"),
        ("chest_xray", "masks", simulated, "--test 74 --clean 10 --size 64", "hearts"),
        ("chest_xray", "masks", simulated, "--test 74 --clean 20 --size 64", "hearts_20_clean"),
        ("dermoscopy", "masks", triangles, "--test 30 --clean 10 --size 96", "dermoscopy_96_px"),
        ("chest_xray", "masks", triangles, "--test 74 --clean 10 --size 96", "hearts_96_px"),
        ("cells_crowd", "masks_consensus", f"{crowd} --groups 5", "--test 45 --clean 10 --size 64",
         "cells"),
    ]  # fmt: skip
    return "\n".join(
        f"napari-noisyseg compare {DATA}/{data}/images {DATA}/{data}/{masks} {noise} {numbers} "
        f"--methods {methods} --seeds {seeds} {SHARED} --out {into}/{out}"
        for methods, seeds, into in ((main, 5, "figures"), (others, 3, "others"))
        for data, masks, noise, numbers, out in parts
        if into == "figures" or out in ("dermoscopy", "hearts", "cells")
    )


def main() -> None:
    """Print commands, or tables and goals, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", help="of comparisons")
    parser.add_argument("--others", type=Path, nargs="*", default=[],
                        help="folders of the same names with runs of further methods")  # fmt: skip
    parser.add_argument("--out", type=Path, help="PNG to write")
    parser.add_argument("--commands", action="store_true", help="only say what to run")
    given = parser.parse_args()
    if given.commands:
        print(commands())
        return
    cells = read(given.folders, given.others)
    if not cells:
        parser.error("no cell has a run of every method yet: see --commands")
    print(table(cells), others_table(cells), goals(cells), sep="\n\n")
    if given.out is not None:
        write_file(given.out, drawn(cells))


if __name__ == "__main__":
    main()
