"""What a whole run of the default method costs, teachers and corrections included, beside ``joint``.

Needs the development data (``../shared/data`` or ``$NOISYSEG_DATA``). Trains both methods on triangles,
one after the other, and prints processor and wall seconds from the first event to the last step.

    OMP_NUM_THREADS=1 python benchmarks/run_cost.py chest_xray dermoscopy --steps 300 1000
"""

from __future__ import annotations

import argparse
import time

from first_correction import TESTED, loop_of

from napari_noisyseg.learning.events import StepDone
from napari_noisyseg.learning.loop import Loop


def cost(loop: Loop) -> tuple[float, float]:
    """Seconds of processor and wall until the last step is done."""
    processor, wall = time.process_time(), time.perf_counter()
    events = loop.events(None)
    for event in events:
        if isinstance(event, StepDone) and event.step == event.steps:
            break
    spent = time.process_time() - processor, time.perf_counter() - wall
    events.close()
    return round(spent[0], 1), round(spent[1], 1)


def main() -> None:
    """Print a row for each data set and number of steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", choices=sorted(TESTED))
    parser.add_argument("--steps", nargs="+", type=int, default=[300, 1000])
    parser.add_argument("--size", type=int, default=64)
    given = parser.parse_args()
    for name in given.data:
        drawn, _ = loop_of(name, "polygon:vertices=3", 0, given.size, clean=10)
        for steps in given.steps:
            seconds = {}
            for method in ("joint", "trust"):
                changed = {"method": method, "shortest_epoch": steps // drawn.config.epochs}
                config = drawn.config.model_copy(update=changed)
                loop = Loop(config, drawn.dataset, None)
                assert loop.learner.steps == steps, "the images make longer epochs"
                seconds[method] = cost(loop)
            ratios = [t / j for t, j in zip(seconds["trust"], seconds["joint"], strict=True)]
            print(
                name, steps, "steps:", seconds, "ratios:", [round(r, 2) for r in ratios], flush=True
            )


if __name__ == "__main__":
    main()
