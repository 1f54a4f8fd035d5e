"""Measures qorch beside the installed peers, on the shapes of five real training systems, in one run."""
