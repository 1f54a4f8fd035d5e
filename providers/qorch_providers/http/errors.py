"""What can happen to a request on its way; each is also the error of qorch that it means for a submission."""

from qorch.errors import UnknownOutcomeError, UnreachableError


class NotSentError(UnreachableError):
    """No connection came about: no byte of the request left, so nothing can have been accepted."""


class NoAnswerError(UnknownOutcomeError):
    """The request may have left, and no whole, readable answer came back."""


class TooLargeError(NoAnswerError):
    """The answer is larger than what is read of any answer."""
