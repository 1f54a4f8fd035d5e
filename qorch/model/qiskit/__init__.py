"""The only door to Qiskit and SymPy: circuits become gate lists, and parameter expressions formulas."""
