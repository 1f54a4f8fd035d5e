"""Transport errors of a request, and what they mean for a job that it submits.

A transport error says nothing about a job: a lost answer leaves a submission unknown, but a GET can be repeated.
``HttpClient.send`` and ``HttpClient.ask`` translate it, each in its own way.
"""

from qorch.errors import QorchError, UnknownOutcomeError, UnreachableError


class TransportError(QorchError):
    """A request failed on the way; neutral, raised only by ``HttpClient.request``."""


class RequestUnsentError(TransportError):
    """No byte of the request left this machine, or the server said that it did not process it."""


class AnswerLostError(TransportError):
    """The request may have arrived, and no whole, readable answer came back."""


class TooLargeError(AnswerLostError):
    """The answer is larger than the maximum size of an answer."""


class NotSentError(UnreachableError):
    """A submission never left this machine, so no job can have been accepted."""


class NoAnswerError(UnknownOutcomeError):
    """A submission may have arrived, and no whole, readable answer came back."""
