"""From gate lists and rows of angles to the body of a job: circuits in a device's own gates, on its own qubits.

How to read it: the ``compiler`` keeps what the ``transpiler`` makes of a gate list, an ``isa`` circuit. The transpiler
sends ``orders`` to a process of its own (``transpiler_process``, which does the ``transpiling``); ``folding`` brings
fractional gates into their range. ``job_body`` encodes rows of such circuits for IBM's programs, ``estimator_body`` for
its estimator; ``values`` writes arrays. ``limits`` says what a job holds, from ``sizes`` in bytes and ``durations``.
"""
