"""Many trainings at once: the trials of a sweep over one budget and one cache, and the comparison of methods.

How to read it: ``trial`` says what a trial is, and what its run is called; ``trial_process`` is the process in which
one works; ``trials`` runs many, several at once; ``stored_trial`` reads them back from the database.
"""
