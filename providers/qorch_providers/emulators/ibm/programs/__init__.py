"""The programs that jobs run: sampler, estimator and executor, on the qubits of a device that a circuit uses.

How to read it: ``running`` chooses the program: ``sampler`` or ``estimator``, which have ``pubs`` and ``observables``,
or ``executor``. Their inputs are JSON with typed ``values`` or ``tensors``; circuits are checked against the device and
become ``circuits`` of components that do not touch each other, whose ``angles`` are arrays and whose gates undergo
``fusion``; ``sampling`` draws shots with the ``noise`` of the device, which make the ``outcome`` of a job. An
``estimator`` may do that at several strengths of the noise, for an ``extrapolation`` to none.
"""
