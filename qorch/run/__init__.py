"""A training run: ``run.Run`` is what a user gets; each of the other modules is one part of it.

How to read it: ``run`` carries out batches through a ``portal`` to the engine's event loop and is built from
``resources``; ``active`` names the run that a layer finds. ``loop`` has the training loop's steps and epochs, ``step``
one of them, ``checkpoint`` what they resume from, ``idle_time`` what passes between them. ``metrics`` are the logged
numbers, ``pace_log`` follows what steps take and says what is left, with what ``pace_history`` knows of earlier runs;
``learning_rates`` belong to schedulers, ``evaluation`` runs a model outside of training, and ``rehearsal`` notes what
it would execute; ``jacobian`` has the gradients that a simulator computes. ``stopping`` ends a run, ``session`` writes
what this process did, ``totals`` adds all sessions up, ``arguments`` checks how it is started, ``used_settings``
compares that with how it was started before, and ``import_watch`` measures imports.
"""
