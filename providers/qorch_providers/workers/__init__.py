"""Jobs in worker processes: what an executor that holds the interpreter's lock, or may crash, is run behind.

Read in this order: ``process`` (one worker, as its parent sees it), ``pool`` (many of them), ``requests`` (a job as
bytes), ``serving`` (the worker's own side). A backend says which program its workers run by a ``WorkerProgram``.
"""
