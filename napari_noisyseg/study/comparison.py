"""Methods x noises x seeds: the runs that are missing, their rows at once, then tables and plot."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_noisyseg.annotation.output_places import refuse_output_in
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import remove_litter, shown, write_file
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.devices import choose_device
from napari_noisyseg.model.locks import run_lock
from napari_noisyseg.model.output_folders import make_folder
from napari_noisyseg.study.description import describe, refuse_other, write_description
from napari_noisyseg.study.events import (
    Began,
    Notice,
    Run,
    RunDone,
    RunFailed,
    StudyEvent,
    Written,
)
from napari_noisyseg.study.fusion import has_staple, require_staple
from napari_noisyseg.study.intervals import summarise, summarise_detection
from napari_noisyseg.study.noises import DrawnNoise, Noise, SimulatedNoise
from napari_noisyseg.study.one_run import COMPARED, FUSED, Plan, order_of, tasks_of
from napari_noisyseg.study.overview import overview, shared_out
from napari_noisyseg.study.plot import can_plot, dice_plot
from napari_noisyseg.study.reading import read_all
from napari_noisyseg.study.rows import Row, key_of, read_rows, write_rows
from napari_noisyseg.study.sets import SETS, sets_csv
from napari_noisyseg.study.subjects import (
    Subject,
    annotators_of,
    find_subjects,
    remarks,
)
from napari_noisyseg.study.tables import detection_csv, markdown, table_csv
from napari_noisyseg.study.workers import run_all

TEST_SHARE = 0.3
"""Share of the images that are tested on where no number is given."""
RUNS = "runs.csv"
TABLE, DETECTION, TEXT, PLOT = "table.csv", "detection.csv", "table.md", "dice.png"
"""The files of a comparison, beside its description."""


@dataclass(frozen=True)
class Comparison:
    """What is to be compared.

    Attributes
    ----------
    images, masks
        Folders of images and of their true masks.
    out
        Folder of the rows, tables and plot; may hold the same comparison, unfinished or with fewer
        methods, noises and seeds.
    noises
        Simulated noises; or none, if people drew the noisy masks.
    noisy
        Folders of noisy masks, one per annotator; instead of `noises`.
    annotators
        "one": one random annotator's mask per image; "all": every annotator's.
    clean, test, validation
        Numbers of images; `test` None: `TEST_SHARE` of all.
    pairs
        Whether clean images keep their noisy masks beside the true ones.
    prefix
        Length of the names' prefix that tells series; None: each image is its own.
    methods
        What is compared; empty: everything that the data allow.
    seeds
        Number of seeds, counted from 0.
    config
        Settings of the trainings.
    jobs
        Runs at once.
    """

    images: Path
    masks: Path
    out: Path
    noises: tuple[SimulatedNoise, ...] = ()
    noisy: tuple[Path, ...] = ()
    annotators: Literal["one", "all"] = "one"
    clean: int = 10
    test: int | None = None
    validation: int = 0
    pairs: bool = False
    prefix: int | None = None
    methods: tuple[str, ...] = ()
    seeds: int = 5
    config: TrainingConfig = field(default_factory=TrainingConfig)
    jobs: int = 1


def compare(comparison: Comparison) -> Generator[StudyEvent, None, None]:
    """Compare; everything that can be refused is, before a file is written.

    Closing the generator stops: finished runs stay, and the same call goes on with the others.

    Raises
    ------
    UserError
        For numbers, files and folders that do not fit, and where another process holds the folder.
    StoppedError
        If runs stopped, after all others were done, or if the disk fails.
    """
    _refuse_numbers(comparison)
    refuse_output_in(comparison.out, [comparison.images, comparison.masks, *comparison.noisy])
    choose_device(comparison.config.device)
    subjects = find_subjects(
        comparison.images, comparison.masks, comparison.noisy, comparison.prefix
    )
    plan = _plan(comparison, subjects)
    methods, notices = _methods(comparison, subjects)
    runs = [
        Run(noise, method, seed)
        for seed in range(comparison.seeds)
        for noise in plan.noises
        for method in methods
    ]
    for seed in range(comparison.seeds):
        plan.sets(seed)
    description = describe(
        plan, comparison.prefix, comparison.annotators if comparison.noisy else None
    )
    refuse_other(comparison.out, description)
    read_rows(comparison.out / RUNS)
    plan, found = yield from read_all(
        plan, comparison.seeds, [FUSED[m] for m in methods if m in FUSED]
    )
    notices = (*notices, *remarks(subjects, comparison.prefix), *found)
    make_folder(comparison.out)
    with run_lock(comparison.out):
        refuse_other(comparison.out, description)
        remove_litter(comparison.out)
        rows = read_rows(comparison.out / RUNS)
        write_description(comparison.out, description)
        seeds = {*range(comparison.seeds), *(int(row["seed"]) for row in rows)}
        write_file(comparison.out / SETS, sets_csv(plan, sorted(seeds)))
        for text in notices:
            yield Notice(text)
        known = {key_of(row) for row in rows}
        missing = [run for run in runs if (run.noise, run.method, run.seed) not in known]
        summary = _summary(plan, comparison, methods)
        yield Began(summary, len(runs) - len(missing), len(runs), comparison.out)
        failed = yield from _run(comparison, plan, missing, rows, len(runs))
        if rows:
            yield _write_tables(comparison, plan, rows)
        if failed:
            first = failed[0]
            raise StoppedError(
                f"{sum(len(each.runs) for each in failed)} of {len(runs)} runs stopped, the first "
                f"{first.runs[0].title} "
                f"({first.reason.rstrip('.')}); the same command tries them again"
            )


def _run(
    comparison: Comparison, plan: Plan, missing: Sequence[Run], rows: list[Row], total: int
) -> Generator[StudyEvent, None, list[RunFailed]]:
    """Do the missing runs, writing each one's row at once; returns those that stopped."""
    failed = []
    done = total - len(missing)
    for outcome in run_all(plan, tasks_of(missing), comparison.jobs):
        if isinstance(outcome, list):
            rows += outcome
            write_rows(comparison.out / RUNS, rows)
            for row in outcome:
                done += 1
                yield RunDone(Run(*key_of(row)), row, done, total)
            continue
        if isinstance(outcome, RunFailed):
            failed.append(outcome)
        yield outcome
    return failed


def _write_tables(comparison: Comparison, plan: Plan, rows: Sequence[Row]) -> Written:
    """Write tables and plot of all runs in the folder."""
    out = comparison.out
    default = TrainingConfig().method
    ordered = sorted(rows, key=lambda row: int(row["seed"]))
    summaries, found = summarise(ordered, default), summarise_detection(ordered)
    head = overview(plan, comparison.prefix, rows, default)
    text = head + markdown(summaries, found, default)
    write_file(out / TABLE, table_csv(summaries))
    write_file(out / DETECTION, detection_csv(found))
    write_file(out / TEXT, text)
    plot = out / PLOT if can_plot() else None
    if plot is not None:
        write_file(plot, dice_plot(summaries, default))
    return Written(out, text, plot)


def _refuse_numbers(comparison: Comparison) -> None:
    least = {"clean": 1, "seeds": 1, "jobs": 1, "validation": 0, "test": 1}
    for name, lowest in least.items():
        value = getattr(comparison, name)
        if value is not None and value < lowest:
            raise UserError(f"--{name} is {lowest} or more, not {value}")
    if bool(comparison.noises) == bool(comparison.noisy):
        raise UserError(
            "give either --noise FAMILY, to simulate noisy masks, or --noisy DIR, where people drew "
            "them"
        )


def _plan(comparison: Comparison, subjects: tuple[Subject, ...]) -> Plan:
    noises: dict[str, Noise] = {noise.label: noise for noise in comparison.noises}
    if comparison.noisy:
        drawn = DrawnNoise(annotators_of(subjects), comparison.annotators == "all")
        noises = {drawn.label: drawn}
    test = comparison.test
    return Plan(
        subjects=subjects,
        noises=noises,
        test=max(1, round(TEST_SHARE * len(subjects))) if test is None else test,
        validation=comparison.validation,
        clean=comparison.clean,
        config=comparison.config,
        pairs=comparison.pairs,
    )


def _methods(
    comparison: Comparison, subjects: Sequence[Subject]
) -> tuple[list[str], tuple[str, ...]]:
    """Give the methods in the tables' order, and what is to be said about them."""
    several = len(annotators_of(subjects)) > 1
    if not comparison.methods:
        chosen = [name for name in COMPARED if several or name not in FUSED]
        if several and not has_staple():
            chosen.remove("staple")
            return chosen, (
                "staple is left out: it needs SimpleITK, pip install 'napari-noisyseg[staple]'",
            )
        return chosen, ()
    for name in comparison.methods:
        if name not in COMPARED:
            raise UserError(
                f"there is no method '{shown(name)[:40]}' to compare: choose {', '.join(COMPARED)}"
            )
        if name in FUSED and not several:
            raise UserError(
                f"{name} puts several annotators together: give --noisy for each of them"
            )
    if "staple" in comparison.methods:
        require_staple()
    return order_of(dict.fromkeys(comparison.methods)), ()


def _summary(plan: Plan, comparison: Comparison, methods: Sequence[str]) -> str:
    images = shared_out(plan, comparison.prefix, range(comparison.seeds))
    return f"{len(methods)} methods; noise: {', '.join(plan.noises)}; images: {images}"
