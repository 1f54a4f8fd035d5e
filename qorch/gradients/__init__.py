"""Gradient methods: expand a pub into rows, and recombine their values into derivatives. Pure functions over arrays.

How to read it: ``method`` says what a method is, and ``methods`` has them by name: ``parameter_shift`` by the rules of
``shift_rules``, ``sampled_shift`` for some parameters, ``perturbation`` (SPSA), ``finite_difference``, and ``jacobian``
for simulators that need no rows. ``recombination`` makes derivatives of values, whatever the method; ``wanted`` checks
what is asked for, and ``streams`` has the random numbers.
"""
