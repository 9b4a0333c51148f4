"""How much work the teachers of a run are, told without loading torch."""

from __future__ import annotations

from napari_noisyseg.model.configuration import TrainingConfig

FOLDS = 3
"""Teachers; fewer where there are fewer clean images."""
TEACHER_BATCH = 0.625
"""Size of the teachers' batches, as a share of the run's clean batches."""
TEACHER_SHARE = 1 / 3
"""Each teacher's steps, as a share of the run's, up to the settings' `teacher_steps`."""


def teacher_steps(config: TrainingConfig, steps: int) -> int:
    """Give the steps of each teacher, for a run of so many steps."""
    return max(1, min(round(TEACHER_SHARE * steps), config.teacher_steps))


def teacher_batch(config: TrainingConfig) -> int:
    """Give the number of images in a teacher's batch."""
    return max(1, round(TEACHER_BATCH * config.clean_batch))


def teachers_share(config: TrainingConfig) -> float:
    """Give the work of a teacher's step, as a share of a step of the run."""
    return teacher_batch(config) / (config.noisy_batch + config.clean_batch)
