"""The gradient methods by name, and the rows of several pubs by one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from qorch.errors import UnknownNameError, UsageError
from qorch.gradients.finite_difference import FiniteDifference
from qorch.gradients.jacobian import ExactJacobian
from qorch.gradients.method import GradientMethod
from qorch.gradients.parameter_shift import ParameterShift
from qorch.gradients.perturbation import SimultaneousPerturbation
from qorch.gradients.recombination import Recombination
from qorch.gradients.sampled_shift import SampledShift
from qorch.gradients.streams import PubStream
from qorch.gradients.wanted import Wanted
from qorch.model.identity import Position
from qorch.model.kinds import as_items, check_kind
from qorch.model.pub import Batch, Pub, Shots, as_batch

_METHODS: Mapping[str, type[GradientMethod]] = MappingProxyType(
    {
        method.kind: method
        for method in (ParameterShift, ExactJacobian, SimultaneousPerturbation, FiniteDifference, SampledShift)
    }
)

GRADIENTS: tuple[str, ...] = tuple(_METHODS)
"""The names of all methods; the first is the default."""


def as_method(text: str) -> GradientMethod:
    """The method of this name, with its options, such as ``spsa:directions=4,c=0.1``.

    Raises UnknownNameError for a method or an option that there is not, UsageError for a value that cannot be.
    """
    check_kind(text, str, "gradient", wanted=f"one of {', '.join(GRADIENTS)}")
    return _read_method(text)


@lru_cache(maxsize=64)
def _read_method(text: str) -> GradientMethod:
    kind, colon, options = text.partition(":")
    form = _METHODS.get(kind)
    if form is None:
        raise UnknownNameError(f"there is no gradient '{kind}'; choose one of {', '.join(GRADIENTS)}")
    if colon and not options:
        raise UsageError(f"gradient '{text}' ends with a colon; write {kind}, or {kind}:OPTION=VALUE")
    try:
        return form(**_read_options(options, {field.name: field for field in fields(form)}))
    except UnknownNameError as error:
        raise UnknownNameError(f"gradient '{text}': {error}") from error
    except UsageError as error:
        raise UsageError(f"gradient '{text}': {error}") from error


def _read_options(text: str, known: Mapping[str, "Field[Any]"]) -> dict[str, int | float]:
    given: dict[str, int | float] = {}
    for part in text.split(",") if text else ():
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in known:
            choices = f"its options are {', '.join(known)}" if known else "it has no options"
            raise UnknownNameError(f"there is no option '{name}'; {choices}")
        if name in given:
            raise UsageError(f"the option '{name}' is given twice; give it once")
        given[name] = _read_number(value, known[name])
    return given


def _read_number(text: str, field: "Field[Any]") -> int | float:
    is_whole = isinstance(field.default, int)
    try:
        return int(text) if is_whole else float(text)
    except ValueError as error:
        wanted = "a whole number" if is_whole else "a number"
        example = f"{field.name}={field.default}"
        raise UsageError(f"{field.name} is '{text}'; it must be {wanted}, such as {example}") from error


@dataclass(frozen=True)
class CallStreams:
    """The random streams of one call: of the run's seed, and of the position that the call has in it.

    Calls of several threads at once may believe to have the same position, and draw the same numbers, which does no
    harm, as neither depends on the other.
    """

    seed: int
    position: Position

    def of(self, pub: int) -> "PubStream":
        """That of the pub with this ordinal."""
        return PubStream(self.seed, self.position, pub)


def expand_all(
    pubs: Sequence[Pub], wanted: Wanted, *, method: GradientMethod, streams: CallStreams, default_shots: Shots
) -> tuple[Batch, list[Recombination]]:
    """The rows of the gradients of several pubs as one batch, and how each is recombined.

    ``streams``: of the call, for what is random. ``default_shots``: of pubs with the run's own shots;
    ``"run"`` if it is not known. Raises what GradientMethod.expand raises, ShotsError for shots with which the method
    makes no sense, UsageError if there is not one entry of ``wanted`` for each pub.
    """
    items, masks = as_batch(pubs).pubs, as_items(wanted, "wanted", wanted="one array of bools, or None, for each pub")
    if len(masks) != len(items):
        raise UsageError(
            f"wanted has {len(masks)} entries for {len(items)} pubs; give one array of bools, or None, each"
        )
    for pub in items:
        shots = pub.shots_or(default_shots)
        if shots != "run":
            method.check_shots(shots)
    expanded = [
        method.expand(pub, wanted=mask, stream=streams.of(ordinal))
        for ordinal, (pub, mask) in enumerate(zip(items, masks, strict=True))
    ]
    return Batch(tuple(rows for rows, _ in expanded)), [after for _, after in expanded]
