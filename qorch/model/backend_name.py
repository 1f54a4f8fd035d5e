"""The parts of a backend's name, such as ``braket:garnet,rows=50``: its kind ``braket``, then target and options."""


def kind_of(backend: str) -> str:
    """Which adapter opens it, such as ``braket``: all of one kind are at one provider, or on this machine."""
    return backend.partition(":")[0]


def stem_of(backend: str) -> str:
    """The name without its options, in lower case, such as ``braket:garnet``."""
    return backend.partition(",")[0].strip().lower()
