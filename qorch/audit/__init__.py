"""Reports and plots of stored runs: where time and money went, whether the ledger is whole, and what invoices say.

How to read it: ``report`` is what a run came to, with its ``phases``, their ``resolution`` and ``advice``, and
``money``; ``latency`` has the phases of the jobs of many runs, and ``learned_profile`` makes a mock's figures of them.
``page`` and ``plot`` draw, and ``exports`` writes the ledger for other programs. ``verification`` checks it;
``invoices``, ``invoice_sums``, ``booked_jobs`` and ``reconciliation`` compare it with what providers charged.
"""
