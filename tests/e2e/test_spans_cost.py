"""What measuring costs: steps of W3 whose spans and observers are on, in turns with steps without either."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

import qorch
from qorch.bench.shapes import Shape, all_shapes
from qorch.model.timing import Phase, Span

pytestmark = [pytest.mark.soak, pytest.mark.serial, pytest.mark.timeout(900)]

ROUNDS = 60
MOST = 1.02


class Counting(qorch.RunObserver):
    """Is told of everything, as a user's own logger would be."""

    def __init__(self) -> None:
        """Nothing was told."""
        self.told = 0

    def step_ended(self, *_told: Any) -> None:
        """Count it."""
        self.told += 1


@contextmanager
def steps_of(shape: Shape, folder: Path, name: str, *, measures: bool) -> Iterator[Callable[[], object]]:
    """A function that runs one gradient of the shape as a step. Without measuring, no span is kept, and nobody told."""
    observers = [f"log:{folder / 'log.jsonl'}", Counting()] if measures else []
    with qorch.start_run(
        name, backend="local", shots=1024, seed=1, db=str(folder / f"{name}.db"), progress="off", observers=observers
    ) as run:
        if not measures:
            turn_off(run._use.recorder)

        def step() -> object:
            with run.step(run.current_step + 1):
                return run.gradients([shape.pub], [shape.wanted])

        yield step


def turn_off(recorder: Any) -> None:
    """Keep no span."""
    nothing = Span(Phase.STORE, 0, 0)
    recorder.span = lambda *_where, **_job: nullcontext()
    recorder.add = lambda *_times, **_job: nothing
    recorder.add_spans = lambda *_spans, **_job: None


def test_spans_and_observers_cost_little(tmp_path: Path) -> None:
    """The median step with them takes at most 2 % longer; the order of the two changes from round to round."""
    shape = next(shape for shape in all_shapes() if shape.name == "W3")
    with ExitStack() as stack:
        on, off = (
            stack.enter_context(steps_of(shape, tmp_path, name, measures=measures))
            for name, measures in (("on", True), ("off", False))
        )
        times: dict[bool, list[float]] = {True: [], False: []}
        for number in range(ROUNDS + 5):
            order = (True, False) if number % 2 else (False, True)
            for measures in order:
                begun = time.perf_counter()
                (on if measures else off)()
                times[measures].append(time.perf_counter() - begun)
    pairs = [with_them / without for with_them, without in zip(times[True][5:], times[False][5:], strict=True)]
    ratio = statistics.median(pairs)
    quartiles = statistics.quantiles(pairs, n=4)
    print(f"\nW3 with spans and observers: {ratio:.3f} of the time without, quartiles {quartiles}, {ROUNDS} rounds")
    print(f"steps: {statistics.median(times[True]):.4f} and {statistics.median(times[False]):.4f} s")
    assert ratio <= MOST
