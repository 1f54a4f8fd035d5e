"""A whole training on a mock of the paid backend and a virtual clock, and what it foretells: money, time, faults.

How to read it: ``program`` runs a workload or a user's program with backend, database (``store``) and ``clock``
replaced. Its calls go through a ``portal`` into one ``loop``, whose time passes while all ``callers`` wait; the
``recorder`` makes the ``recording`` of them. ``futures`` carry that out again on other mocks, with a ``light_store``; a
``forecast`` sums them up, with ``needed_money`` for budgets, and ``what_if`` changes what is forecast.
"""
