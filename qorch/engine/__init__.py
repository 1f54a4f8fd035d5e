"""The only place with behaviour over time: from a call to its results, whatever the network and the provider do.

How to read it: ``engine`` is what the rest of qorch calls. ``planner`` asks ``lookup`` what is stored and packs the
rest into jobs; rows that another run is buying are left to it (``claims``). ``reservation`` reserves all jobs of the
call at the most that they can cost, if all budgets cover that; ``accounts`` makes the entries of the ledger,
``spending`` says before the first paid job what it buys and what limits it. A ``submitter``, which ``parts`` chooses
and ``run_parts`` equips, carries each job (a ``submission``) to its end: ``local`` in this process, ``remote`` at a
provider; ``assembly`` puts what they return together. ``journal`` writes, ``worker`` computes, ``recorder`` measures,
``trimmer`` deletes old free results.

The lifecycle of a job at a provider::

    call ─▶ lower ─▶ prepare ─▶ look up ─▶ pack                    PLANNED    (in memory)
            planner             lookup
        ─▶ reserve all jobs of the call, or refuse them            RESERVED   one transaction; nothing was sent
            reservation
    job ─▶ encode ─▶ permit ─▶ write the intent ─▶ submit          INTENT     durable before the first byte leaves
            payloads  pacer     journal             sender
                │ refused: back to RESERVED, and again under the same key
                │ no answer: sent again, if the provider remembers the key;
                │            else UNKNOWN ─▶ looked for by key ─▶ SUBMITTED, RESERVED or held      reconcile, finder
                ▼
        ─▶ accepted                                                SUBMITTED  with the provider's id
        ─▶ poll ─▶ fetch ─▶ read ─▶ verify ─▶ record               DONE       rows and answer in one transaction
            poller  delivery
                │ failed, or rows were lost: what may be repeated runs again as a job of its own    remote/submitter
                │ cannot be read and is paid for: UNKNOWN, held; failed for good: FAILED
                ▼
    call ─▶ assemble ─▶ results; jobs that were not tried when it ends early: CANCELLED

What another process, or an earlier session, left behind is brought to an end by ``remote.recovery``; what a database
that was restored from a backup does not know, by ``remote.orphans`` and ``remote.adoption``. A job of a backend in this
process that costs nothing is executed at once, and written down when it is over (DONE, FAILED or CANCELLED).
``qorch.model.job.MOVES`` has every allowed move.
"""
