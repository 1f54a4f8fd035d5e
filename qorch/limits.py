"""Whether a backend can do what is asked of it, before anything is written or sent."""

from qorch.errors import ShotsError, UsageError
from qorch.ports import Backend


def check_shots(backend: Backend, shots: int | None) -> None:
    """Raise ShotsError for a number that the backend does not take; None is exact."""
    limits = backend.capabilities
    if shots is None and not limits.exact:
        raise ShotsError(f"{backend.name} has no exact results; give a number of shots")
    if shots is not None and shots > limits.max_shots:
        raise ShotsError(f"shots is {shots}; {backend.name} takes at most {limits.max_shots} a row")


def check_exact_gradients(backend: Backend) -> None:
    """Raise UsageError where gradients can only be measured."""
    limits = backend.capabilities
    if not limits.exact_gradients:
        how = "gradient='parameter-shift'" + (" with shots=None" if limits.exact else "")
        raise UsageError(f"{backend.name} has no exact gradients; use {how}")
