"""HTTP for all REST backends: one try per call, limits on time and size, and secrets kept out of all messages.

How to read it: ``client`` is what adapters use; it speaks to ``origins``, each with ``auth`` (``bearer`` tokens, or a
hook of the vendor's) over ``connections``. A request has ``paths`` and ``content``; a ``response`` has a ``body`` of
bounded size, which ``decoding`` reads, and the ``marks`` of its times; it may be one of ``redirects``. ``questions``
are asked side by side. ``errors`` says what a failure means for a submission, and ``safety`` what may enter or leave.
"""

from qorch_providers.http.auth import Auth, AuthHeaders, Outgoing, StaticAuth
from qorch_providers.http.bearer import BearerToken, Token
from qorch_providers.http.body import MOST_BYTES
from qorch_providers.http.client import HttpClient
from qorch_providers.http.content import Content
from qorch_providers.http.decoding import decode_body
from qorch_providers.http.errors import (
    AnswerLostError,
    NoAnswerError,
    NotSentError,
    RequestUnsentError,
    TooLargeError,
    TransportError,
)
from qorch_providers.http.origins import Origin
from qorch_providers.http.questions import ask_each
from qorch_providers.http.redirects import redirect_target
from qorch_providers.http.response import HttpResponse, retry_after_seconds, server_time
from qorch_providers.http.safety import check_header_value, check_origin, clean, is_safe_id, mask

__all__ = [
    "MOST_BYTES",
    "AnswerLostError",
    "Auth",
    "AuthHeaders",
    "BearerToken",
    "Content",
    "HttpClient",
    "HttpResponse",
    "NoAnswerError",
    "NotSentError",
    "Origin",
    "Outgoing",
    "RequestUnsentError",
    "StaticAuth",
    "Token",
    "TooLargeError",
    "TransportError",
    "ask_each",
    "check_header_value",
    "check_origin",
    "clean",
    "decode_body",
    "is_safe_id",
    "mask",
    "redirect_target",
    "retry_after_seconds",
    "server_time",
]
