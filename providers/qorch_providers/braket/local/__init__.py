"""`braket:local`: the simulators of Amazon Braket's SDK on this machine, in worker processes; no account is needed.

Read in this order: ``options``, ``limits``, ``backend``, and in the worker ``worker``, ``executor``, ``simulation``.
"""
