"""The servers that a client may speak to, each with credentials of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qorch_providers.http.auth import Auth, StaticAuth
from qorch_providers.http.safety import check_header_value, check_origin

_NO_AUTH = StaticAuth({})


@dataclass(frozen=True)
class Origin:
    """One server; ``url`` is https, or http to this machine, and may have a path that all requests begin with.

    ``auth`` signs the requests to this server only. ``headers`` are not secret; they go with every request.
    """

    url: str
    auth: Auth = field(default=_NO_AUTH, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises UsageError for a URL that no key may go to, and for a value that no header may have."""
        object.__setattr__(self, "url", check_origin(self.url))
        for name, value in self.headers.items():
            check_header_value(name, value)
