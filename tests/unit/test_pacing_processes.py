"""What processes that share an account's throttle may do to each other: come late, be killed, start again."""

from qorch.engine.remote.pacing import BEHIND_SECONDS, Throttle, admit, enter, leave
from qorch.ports.policy import OnUnknown, Rate, Terms

TERMS = Terms(account="a", on_unknown=OnUnknown.HOLD, settle_seconds=1.0, most_jobs=3, rate=Rate(5, 1.0))


def test_a_process_that_waited_for_its_turn_forgets_nothing() -> None:
    """It asks with a time from before the newest change: what the other has in progress still counts."""
    throttle, first = admit(Throttle(), "one", now=1000.0, terms=TERMS)
    assert first.wait_seconds == 0
    throttle, second = admit(throttle, "two", now=1000.0 - BEHIND_SECONDS / 2, terms=TERMS)
    assert second.wait_seconds > 0
    assert throttle.holders["one"].sending == 1


def test_times_from_before_a_restart_of_the_machine_are_dropped() -> None:
    """The monotonic clock began anew: nothing of before is in progress."""
    throttle, _ = admit(Throttle(), "one", now=1000.0, terms=TERMS)
    throttle, second = admit(throttle, "two", now=10.0, terms=TERMS)
    assert second.wait_seconds == 0
    assert "one" not in throttle.holders


def test_what_a_dead_process_was_sending_counts_in_the_window() -> None:
    """It is unknown whether it arrived, so it counts as if it had, just now."""
    throttle, _ = admit(Throttle(), "one", now=1000.0, terms=TERMS)
    assert leave(throttle, "one", now=1001.0).sent == (1001.0,)
    assert enter(throttle, "one", now=1001.0).sent == (1001.0,)
