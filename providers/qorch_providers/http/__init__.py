"""HTTP for all REST backends: one call, one try, a hard end in time and size, and no secret that gets out."""

from qorch_providers.http.body import MOST_BYTES
from qorch_providers.http.client import HttpClient
from qorch_providers.http.errors import NoAnswerError, NotSentError, TooLargeError
from qorch_providers.http.redirects import redirect_target
from qorch_providers.http.response import HttpResponse, retry_after_seconds, server_time
from qorch_providers.http.safety import check_header_value, check_origin, is_safe_id, mask

__all__ = [
    "MOST_BYTES",
    "HttpClient",
    "HttpResponse",
    "NoAnswerError",
    "NotSentError",
    "TooLargeError",
    "check_header_value",
    "check_origin",
    "is_safe_id",
    "mask",
    "redirect_target",
    "retry_after_seconds",
    "server_time",
]
