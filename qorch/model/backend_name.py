"""The parts of a backend's name, such as ``braket:garnet,rows=50``: its kind ``braket``, then target and options."""

MOCK = "mock"
"""The kind of the backends that stand for others, such as ``mock:braket.garnet`` for ``braket:garnet``."""


def kind_of(backend: str) -> str:
    """Which adapter opens it, such as ``braket``: all of one kind are at one provider, or on this machine."""
    return backend.partition(":")[0]


def stem_of(backend: str) -> str:
    """The name without its options, in lower case, such as ``braket:garnet``."""
    return backend.partition(",")[0].strip().lower()


def is_mock(backend: str) -> bool:
    """Whether it stands for another backend, so that nothing is sent and nothing is charged."""
    return kind_of(backend).lower() == MOCK


def mocked_name(backend: str) -> str | None:
    """The name without options of the backend that a mock stands for, such as ``braket:garnet``.

    None of what is no mock, or one of no real backend, such as ``mock:cloud``.
    """
    if not is_mock(backend):
        return None
    kind, dot, target = stem_of(backend).partition(":")[2].partition(".")
    return f"{kind}:{target}" if dot else None


def name_mock(backend: str) -> str:
    """The name of the mock of a backend, with the same options: ``mock:braket.garnet,rows=5``. A mock is its own."""
    kind, _, rest = backend.partition(":")
    return backend if is_mock(backend) else f"{MOCK}:{kind}.{rest}"


def describe_mock(backend: str) -> str:
    """What follows upon an amount of money that nobody paid; empty for a real backend."""
    return " (a mock: nothing was charged)" if is_mock(backend) else ""
