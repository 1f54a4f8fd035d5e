"""What shows the progress of a run, by the argument ``progress`` of ``start_run``."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Literal

from qorch.engine.recorder import Recorder
from qorch.errors import UsageError
from qorch.ports.progress import Progress
from qorch.progress.display import QueueDisplay, make_progress, no_progress


def choose_display(
    progress: Callable[[Progress], None] | Literal["off"] | None, name: str, release: ExitStack
) -> Callable[[Progress], None]:
    """The function that shows the run; qorch's own display ends with the run. Raises UsageError for anything else."""
    if progress is None:
        # Made now, so that a stream which cannot be used is found before the run begins.
        display = make_progress(name=name)
        release.callback(display.close)
        return display
    if isinstance(progress, str) and progress == "off":
        return no_progress
    if not callable(progress):
        raise UsageError(f"progress is {progress!r}; give a function that takes a Progress, 'off', or None")
    return progress


def watch_queue(show: Callable[[Progress], None], recorder: Recorder) -> Callable[[], None] | None:
    """What a waiting training loop does meanwhile: show the queue at the provider, if the display can."""
    if not isinstance(show, QueueDisplay):
        return None
    return lambda: show.show_queue(recorder.queue_place)
