"""Suites that anyone's backend or store can run: subclass one in a test file, and give it what it is to check.

How to read it: ``in_process`` is the suite of backends in this process, ``remote`` that of providers; ``backend`` has
the checks that both share, and ``estimates`` those of backends that estimate values. ``store`` is the suite of stores,
from the parts ``store_books``, ``store_recovery``, ``store_results``, ``store_runs``, ``store_sharing``,
``store_trimming`` and ``store_usage``; these use ``store_fixtures`` and ``store_records``.
"""
