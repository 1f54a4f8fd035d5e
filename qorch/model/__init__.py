"""Frozen values over NumPy arrays: what the rest of qorch passes around.

How to read it: a ``circuit`` is made of ``gates`` (``qiskit`` compiles Qiskit's); with ``bindings`` of its parameters
and an ``observable`` it is a ``pub``. The planner makes blocks of rows of it (``measurement``, ``samples``), whose
``executions`` money counts, which travel as a ``job`` and come back as ``counts`` or values, once ``verification`` let
them pass; from ``frequencies`` and standard errors they become a ``result``. A backend that estimates values itself is
asked for ``pauli_sums``; where nothing is executed, results are ``made_up``. ``identity`` has the keys of rows and
submissions, ``label`` what a provider keeps with a job, ``usage`` what it reports that the job was charged for,
``timing`` spans, ``exchange_times`` when a request left and its answer came, ``clock_offset`` by how much a clock
differs, ``money`` amounts, ``budget`` the most of them that runs may cost, ``ledger`` how they are reserved and spent,
``ledger_chain`` how each entry continues the one before, ``ledger_check`` what breaks that chain, ``prices`` what a
unit costs, ``invoices`` what a provider charged, ``profiles`` how long a provider takes and how often it fails, in
distributions of ``latency``. ``arrays``, ``whole``, ``kinds``, ``text`` and ``toml`` check what users and servers
give; ``backend_name`` takes the names of backends apart.
"""
