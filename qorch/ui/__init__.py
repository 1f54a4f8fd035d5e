"""Shows the runs of a database in a browser while they go on: on this machine only, and without writing.

``live`` keeps what was read of a run, and reads what is new; ``listing`` is the table of all runs; ``maker`` makes
pages of both; ``guard`` says who may ask; ``server`` answers.
"""
