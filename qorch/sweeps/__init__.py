"""Many trainings at once: the trials of a sweep over one budget and one cache, and the comparison of methods.

How to read it: ``trial`` says what a trial is, and what its run is called; ``trial_process`` is the process in which
one works; ``trials`` runs many, several at once; ``stored_trial`` reads them back from the database. A sweep: ``grid``
and ``study`` say what is swept, ``search`` chooses trials, ``ranking`` says which is best, ``plot`` draws it. A
comparison: ``variant`` says what is compared, ``training_curve`` reads what each training had reached, ``comparison``
sets them side by side with the ``interval`` of each mean, ``answer`` says it, ``comparison_plot`` draws it.
"""
