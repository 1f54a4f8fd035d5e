"""The body of a request with its media type."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from qorch_providers.http.safety import check_header_value


@dataclass(frozen=True)
class Content:
    """A body and its media type; ``data`` is sent unchanged, and hidden in the repr, as it may hold a key."""

    data: bytes = field(repr=False)
    media_type: str = "application/json"

    def __post_init__(self) -> None:
        """Raises UsageError for a media type that no header may have."""
        check_header_value("content-type", self.media_type)

    @classmethod
    def form(cls, pairs: Sequence[tuple[str, str]]) -> "Content":
        """Names and values as ``application/x-www-form-urlencoded``."""
        return cls(urlencode(pairs).encode(), "application/x-www-form-urlencoded")
