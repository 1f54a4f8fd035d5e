"""The fast engine: kernels that Numba compiles, run by a few threads on blocks of rows.

How to read it: ``engine`` is the only module that other packages call (``noise`` adds shots with noise). It takes a
``workspace`` per thread from ``buffers``, and has ``threads`` run the ``kernels``. These are made of ``matrices`` (from
angles to 2×2 matrices), ``evolution`` (from matrices to states, in the ``passes`` that fit the cache), ``sampling``
(from states to shots, with random words of ``philox``, sixteen at once in ``philox_vector``), ``adjoint`` (gradients)
and ``noise_kernels``. ``lanes`` are machine vectors of several rows, and ``jit`` compiles and keeps all of it.
"""
