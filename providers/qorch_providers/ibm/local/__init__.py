"""`ibm:fake_<device>`: a recorded device on this machine. Its circuits are compiled as a real one's, and run by Aer.

Read in this order: ``backend``, and in the worker ``worker``, ``executor``.
"""
