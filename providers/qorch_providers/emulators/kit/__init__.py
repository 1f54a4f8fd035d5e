"""What all emulators share: hosting, a clock that tests move, records of traffic, latencies, limits and faults.

How to read it: ``settings`` reads the options, ``hosting`` runs a server, in the foreground or as a ``running`` one for
tests, and ``control`` adds the emulator's own routes, one of them for its account (``bills``). Every call goes through
``traffic``: it takes its latency (``qorch.model.latency``) by the ``clock``, within the limits of ``rates``, and may
meet one of the ``faults``; then its body is spoiled by ``damage``, or it is sent wrongly by ``spoiling``. ``answers``
are JSON.
"""
