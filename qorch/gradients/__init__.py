"""Gradient rules: expand a pub into shifted rows, and recombine their values. Pure functions over arrays."""
