"""A run on a device with a spending limit at Amazon: it stops there, keeps what it has, and goes on with a new one."""

from typing import Any

import pytest
from braket_bench import opened
from braket_vendor import environment


def test_a_run_stops_at_the_devices_limit_and_can_be_resumed(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence and exit code 3; once the limit is deleted, the resumed run sets it anew, and buys nothing twice."""
    with opened("eu-north-1", quotas="", noise="off", price="task=0.01,shot=0") as bench:
        for name, value in environment(bench.emulator.root).items():
            monkeypatch.setenv(name, value)
        backend = "braket:garnet,settle=0.2,spending_limit=0.15USD"
        trained = typed("train", "digits", *typed.small, "--shots", "8", "--backend", backend, "--name", "belt")
        assert trained.code == 3, trained.err
        assert "the spending limit of the device is reached" in trained.err
        assert len(bench.emulator.jobs()) == 15
        [limit] = bench.braket.search_spending_limits()["spendingLimits"]
        assert (limit["spendingLimit"], limit["totalSpend"]) == ("0.15", "0.15")
        bench.braket.delete_spending_limit(spendingLimitArn=limit["spendingLimitArn"])
        resumed = typed("train", "digits", "--resume", "belt")
        assert resumed.code == 0, resumed.err
        jobs = bench.emulator.jobs()
        assert len({job["client_token"] for job in jobs}) == len(jobs) > 15
        [limit] = bench.braket.search_spending_limits()["spendingLimits"]
        assert float(limit["totalSpend"]) == pytest.approx(0.01 * (len(jobs) - 15))
