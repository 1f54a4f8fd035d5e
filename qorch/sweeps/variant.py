"""What is compared: the values of one option, each with options of its own, over the same seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from qorch.errors import UsageError
from qorch.sweeps.grid import GridRange, read_grid

GRADIENT, BACKEND = "gradient", "backend"
GRADIENTS_COMPARED = ("parameter-shift", "spsa")


@dataclass(frozen=True)
class Variant:
    """One side of a comparison. ``label``: its value of the compared option; ``options``: as text, with that one.

    A label may stand for a longer value: ``spsa`` for the gradient ``spsa:c=0.5``, if it was set so.
    """

    label: str
    options: Mapping[str, str] = field(default_factory=dict)


def read_variants(
    *, gradients: str | None, backends: str | None, over: str | None, settings: Iterable[str] = ()
) -> tuple[Variant, ...]:
    """The variants of ``--gradients``, ``--backends`` or ``--over``, by default two gradients, with those of ``--set``.

    Raises UsageError for more than one of the three, fewer than two values, or a setting of no variant.
    """
    given = [text for text in (gradients, backends, over) if text is not None]
    if len(given) > 1:
        raise UsageError("give one of --gradients, --backends and --over: one thing is compared at a time")
    option, values = _read_values(gradients, backends, over)
    if len(values) < 2 or len(set(values)) < len(values):
        raise UsageError(f"a comparison needs two or more different values of {option}, and it has {', '.join(values)}")
    own: dict[str, dict[str, str]] = {value: {} for value in values}
    for text in settings:
        label, name, value = _read_setting(text, values)
        if name in own[label]:
            raise UsageError(f"--set {text} gives {name} of {label} twice; give it once")
        own[label][name] = value
    return tuple(Variant(value, {option: value} | own[value]) for value in values)


def _read_values(gradients: str | None, backends: str | None, over: str | None) -> tuple[str, Sequence[str]]:
    if backends is not None:
        return BACKEND, split_values(backends)
    if over is None:
        return GRADIENT, GRADIENTS_COMPARED if gradients is None else split_values(gradients)
    grid = read_grid([over])
    [(name, values), *others] = grid.items()
    if others or isinstance(values, GridRange) or name == "seed":
        raise UsageError(f"--over is '{over}'; write one option and its values, such as layers=1,2")
    return name, values


def split_values(text: str) -> list[str]:
    """Names divided by commas, each of which may have options with commas: ``spsa:c=0.1,directions=4,exact``."""
    values: list[str] = []
    for part in text.split(","):
        if values and "=" in part.partition(":")[0]:
            values[-1] += f",{part.strip()}"
        else:
            values.append(part.strip())
    return values


def _read_setting(text: str, values: Sequence[str]) -> tuple[str, str, str]:
    """The variant, the option and its value. Names of variants may have dots and signs of equality themselves."""
    label = max((value for value in values if text.startswith(f"{value}.")), key=len, default=None)
    if label is None:
        raise UsageError(f"--set is '{text}', which begins with no variant and a dot; they are {', '.join(values)}")
    name, _, value = text[len(label) + 1 :].partition("=")
    if not (name and value):
        raise UsageError(f"--set is '{text}'; write VARIANT.OPTION=VALUE, such as {label}.lr=0.05")
    return label, name.replace("_", "-"), value
