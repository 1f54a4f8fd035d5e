"""Backends, a provider and stores without disk or network, for tests: honest by default, with faults on demand.

How to read it: ``backend`` executes in this process, by ``simulation`` and with ``answers``; ``remote`` is a backend at
a ``provider``, which has ``sessions``. ``store`` keeps everything in memory: ``store_tables``, of which ``store_books``
are the ledger, ``store_runs`` sums and deletes runs, and ``store_trimming`` makes room; ``fragile_store`` loses in a
crash what was not yet synced.
"""
