"""What can happen to a request on its way, and what that means for a job that was submitted by it.

A transport error says nothing of a job: the same lost answer leaves a submission open and a question merely unanswered.
``HttpClient.send`` and ``HttpClient.ask`` translate it, each in its own way.
"""

from qorch.errors import QorchError, UnknownOutcomeError, UnreachableError


class TransportError(QorchError):
    """A request did not come through: neutral, raised by ``HttpClient.request`` only."""


class RequestUnsentError(TransportError):
    """No byte of the request left this machine, or the server said that it did not process it."""


class AnswerLostError(TransportError):
    """The request may have arrived, and no whole, readable answer came back."""


class TooLargeError(AnswerLostError):
    """The answer is larger than what is read of any answer."""


class NotSentError(UnreachableError):
    """A submission never left this machine, so no job can have been accepted."""


class NoAnswerError(UnknownOutcomeError):
    """A submission may have arrived, and no whole, readable answer came back."""
