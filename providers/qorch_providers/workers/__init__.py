"""Jobs in worker processes: for executors that hold the interpreter's lock, or may crash.

Read in this order: ``process`` (one worker, as its parent sees it), ``pool`` (many of them), ``requests`` (a job as
bytes), ``serving`` (the worker's own side), ``batches`` (what a worker computes together), ``backend`` (what such
backends have in common). A backend says which program its workers run by a ``WorkerProgram``.
"""
