"""The times of one exchange with a provider's server: a request, and its answer."""

import datetime
from dataclasses import dataclass


@dataclass(frozen=True)
class ExchangeTimes:
    """Nanoseconds on the clock's monotonic time, in order; None if a moment was not observed.

    ``begun_ns``: the call was made, before credentials were fetched. The others are of the request that got the answer,
    the last one after a redirect or a refused token. ``connected_ns``: a connection was made, name look-up and TLS
    included; None if one was reused. ``sent_ns``: the last byte was handed to the connection; None if the answer
    came earlier. ``first_byte_ns``: the status and the headers of the answer were read. ``done_ns``: its body was.
    ``server_at``: the server's own clock as it answered, to the whole second below; None if it did not tell.
    """

    begun_ns: int
    connected_ns: int | None
    sent_ns: int | None
    first_byte_ns: int
    done_ns: int
    server_at: datetime.datetime | None = None
