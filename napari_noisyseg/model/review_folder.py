"""The review of a run as a folder: tables, a page with pictures, and corrected masks if wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence, Set
from dataclasses import dataclass
from heapq import heappush, heappushpop
from pathlib import Path

from napari_noisyseg.annotation.contradiction import contradiction
from napari_noisyseg.annotation.digests import picture_digest
from napari_noisyseg.annotation.output_places import refuse_inside
from napari_noisyseg.annotation.quality import (
    AnnotatorQuality,
    Quality,
    by_annotator,
    mean_dice,
    propose_next,
)
from napari_noisyseg.annotation.review_pictures import SuspectPictures, draw_suspect
from napari_noisyseg.annotation.review_report import ReviewSummary, report_html
from napari_noisyseg.annotation.review_tables import (
    ANNOTATORS_HEADER,
    CHANGES_HEADER,
    IMAGES_HEADER,
    SLICES_HEADER,
    SUSPECTS_HEADER,
    Row,
    annotator_rows,
    change_row,
    image_rows,
    ranked_rows,
    slice_rows,
    suspect_row,
    worst_slices_first,
)
from napari_noisyseg.annotation.suspects import Suspect
from napari_noisyseg.annotation.whole_folders import whole_folder
from napari_noisyseg.files import csv_text, write_file
from napari_noisyseg.model.corrected_masks import CorrectedMasks
from napari_noisyseg.model.run_review import ReviewedImage, RunReview

NEXT = 10
"""How many images are named to annotate next."""


@dataclass(frozen=True)
class ReviewWishes:
    """What the review is to hold.

    Attributes
    ----------
    pictures
        Suspects that the page shows.
    apply_above
        Write masks with the proposals accepted that are credible from here, 0 to 1; None: no masks.
    spacing, unit
        Size of a pixel, (height, width), and its unit of length.
    """

    pictures: int = 50
    apply_above: float | None = None
    spacing: tuple[float, float] = (1.0, 1.0)
    unit: str = "px"


@dataclass(frozen=True)
class ReviewOutcome:
    """What was found.

    Attributes
    ----------
    qualities
        Of every annotation.
    kinds
        Number of suspects by kind.
    annotators
        The annotators' quality, the least trusted first.
    annotate_next
        The images whose clean masks should teach most, of those that have none.
    untrusted
        Annotations for which no trust was learned, so that the model alone judged them.
    changed
        Images that are others than those trained on, or have other labels; they are untrusted, too.
    applied, changed_masks, changed_pixels
        Proposals accepted by themselves, and what that changed.
    """

    qualities: tuple[Quality, ...]
    kinds: dict[str, int]
    annotators: tuple[AnnotatorQuality, ...]
    annotate_next: tuple[str, ...]
    untrusted: int
    changed: tuple[str, ...] = ()
    applied: int = 0
    changed_masks: int = 0
    changed_pixels: int = 0

    @property
    def suspects(self) -> int:
        """Number of suspects."""
        return sum(self.kinds.values())

    @property
    def expected_dice(self) -> float:
        """Mean expected Dice of the annotations, 0 to 1; NaN if nothing is annotated."""
        return mean_dice(self.qualities)


def review_run(
    run: RunReview, out: Path, wishes: ReviewWishes | None = None
) -> Generator[tuple[int, int], None, ReviewOutcome]:
    """Review a run's noisy annotations into a folder that appears whole or not at all.

    ``suspects.csv``, ``images.csv``, ``report.html``, ``slices.csv`` where there are stacks,
    ``annotators.csv`` where there are several, and
    with `ReviewWishes.apply_above` also ``noisy_gt/``, ``noisy_settled/`` where anything is settled,
    and ``changes.csv``. Memory holds one image at a time, and the pictures of the page.

    Parameters
    ----------
    run
        The run and its data; nothing of them is changed.
    out
        The folder to make; it may be there already if nothing is in it.
    wishes
        What it is to hold.

    Yields
    ------
    tuple of int
        Annotations reviewed so far, and in all.

    Raises
    ------
    UserError
        If the folder is taken or lies in one of the data set's, or a file cannot be read.
    StoppedError
        If the disk fails or is full; nothing is left behind.
    """
    wishes = wishes or ReviewWishes()
    refuse_inside(out, run.data)
    with whole_folder(out, "The review") as home:
        gallery = _Gallery(wishes.pictures)
        values = run.model.mask_values
        corrected = None
        if wishes.apply_above is not None:
            corrected = CorrectedMasks(home, run.kinds, run.examples, wishes.apply_above)
        rows: list[Row] = []
        changes: list[Row] = []
        qualities: list[Quality] = []
        pictures: list[str] = []
        settled: set[tuple[str, str]] = set()
        slices: list[Row] = []
        counts: Counter[tuple[str, str]] = Counter()
        untrusted = 0
        changed: list[str] = []
        for done, example in enumerate(run.examples):
            yield done, len(run.examples)
            image = run.read(example)
            review = image.review(spacing=wishes.spacing, unit=wishes.unit)
            qualities.append(review.quality)
            pictures.append(picture_digest(image.pixels))
            if image.is_settled:
                settled.add((pictures[-1], example.name))
            slices += slice_rows(review.pages) if len(review.pages) > 1 else []
            counts[example.name, example.annotator] += len(review.suspects)
            untrusted += image.trust is None
            changed += [example.title] if image.changed else []
            rows += [suspect_row(suspect, values) for suspect in review.suspects]
            gallery.add(image, review.suspects)
            if corrected is not None:
                changes += [change_row(*change) for change in corrected.write(image, review)]
        kinds = Counter(str(row[3]) for row in rows)
        whole = settled | run.annotated_in_whole(frozenset(pictures))
        outcome = ReviewOutcome(
            tuple(qualities),
            dict(kinds),
            tuple(by_annotator(qualities)),
            tuple(propose_next(_without_clean(qualities, pictures, whole), NEXT)),
            untrusted,
            tuple(changed),
            len(changes),
            len({change[0] for change in changes}),
            sum(int(str(change[-2])) for change in changes),
        )
        _write_tables(home, outcome, rows, counts)
        if slices:
            write_file(home / "slices.csv", csv_text(SLICES_HEADER, worst_slices_first(slices)))
        if corrected is not None:
            write_file(home / "changes.csv", csv_text(CHANGES_HEADER, changes))
        summary = ReviewSummary(
            title=run.folder.path.absolute().name,
            qualities=qualities,
            counts=counts,
            kinds=kinds,
            annotators=outcome.annotators,
            annotate_next=outcome.annotate_next,
            values=values,
            has_trust=untrusted < len(qualities),
        )
        write_file(home / "report.html", report_html(summary, gallery.ranked()))
        yield len(run.examples), len(run.examples)
    return outcome


def _without_clean(
    qualities: Sequence[Quality], pictures: Sequence[str], whole: Set[tuple[str, str]]
) -> list[Quality]:
    """Leave out annotations of pictures that have a whole clean mask, as a training does.

    Pictures that do not tell images apart (all of them blank) leave it to the names.
    """
    clean = {picture for picture, _ in whole}
    telling = not clean.issuperset(pictures)
    return [
        quality
        for quality, picture in zip(qualities, pictures, strict=True)
        if (picture, quality.name) not in whole and not (telling and picture in clean)
    ]


def _write_tables(
    home: Path, outcome: ReviewOutcome, rows: Sequence[Row], counts: Counter[tuple[str, str]]
) -> None:
    write_file(home / "suspects.csv", csv_text(SUSPECTS_HEADER, ranked_rows(rows)))
    images = image_rows(outcome.qualities, counts, outcome.annotate_next)
    write_file(home / "images.csv", csv_text(IMAGES_HEADER, images))
    if len(outcome.annotators) > 1:
        table = csv_text(ANNOTATORS_HEADER, annotator_rows(outcome.annotators))
        write_file(home / "annotators.csv", table)


class _Gallery:
    """Pictures of the suspects with the highest priority so far; others are never drawn."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[tuple[float, int, SuspectPictures]] = []
        self._seen = 0

    def add(self, image: ReviewedImage, suspects: Iterable[Suspect]) -> None:
        for suspect in suspects:
            self._seen += 1
            full = len(self._kept) >= self._most
            if not self._most or (full and suspect.priority <= self._kept[0][0]):
                continue
            entry = (suspect.priority, -self._seen, _drawn(image, suspect))
            if full:
                heappushpop(self._kept, entry)
            else:
                heappush(self._kept, entry)

    def ranked(self) -> list[SuspectPictures]:
        return [drawn for _, _, drawn in sorted(self._kept, reverse=True, key=lambda one: one[:2])]


def _drawn(image: ReviewedImage, suspect: Suspect) -> SuspectPictures:
    page = suspect.page
    given, chances = image.indices[page], image.chances[page]
    if image.trust is not None:
        trust = image.trust[page]
    else:
        trust = 1 - contradiction(given, chances).error
    return draw_suspect(suspect, image.pixels[page], given, trust)
