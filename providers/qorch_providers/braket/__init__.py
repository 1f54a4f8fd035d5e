"""The `braket` backend: Amazon Braket's devices and simulators, and its SDK's simulator on this machine."""
