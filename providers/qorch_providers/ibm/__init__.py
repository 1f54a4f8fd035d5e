"""The `ibm` backend: IBM Quantum's devices, and recorded ones simulated on this machine."""
