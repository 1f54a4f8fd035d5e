"""The programs that jobs run: sampler, estimator and executor, on the qubits of a device that a circuit uses.

How to read it: ``running`` chooses the program, ``sampler``, ``estimator`` or ``executor``. Their inputs are JSON with
typed ``values`` or ``tensors``; circuits are checked against the device and turned into ``circuits`` of components that
do not touch each other, whose ``angles`` are arrays, and ``sampling`` draws shots with the ``noise`` of the device.
"""
