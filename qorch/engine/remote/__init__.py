"""Jobs that outlive the process: submitted once, paced, polled, found again by key, delivered, adopted.

How to read it: ``parts`` builds one of each. The ``submitter`` carries a job to its end; ``payloads`` has what waits
to be sent, up to a bound. Its ``sender`` gets the job (a ``sending``) accepted, with a permit of the ``pacer``
(``pacing`` is the state behind it, which all processes share), in the provider's session that ``sessions`` keeps open
if there are any; if no answer comes, ``reconcile`` asks the ``finder``. Then the ``poller`` waits for the job,
``queue_watch`` notes its place in the provider's queue, and ``delivery`` fetches and stores its results; ``waits``
splits the time until then into queue and execution, and ``usage_watch`` asks what the job was charged for, also long
afterwards. ``retrying`` is the only place that tries anything again, ``window`` keeps limits of polls and searches,
and ``idle`` waits until something changes. ``recovery`` finishes what an ended process left, ``session_recovery``
closes its sessions, ``orphans`` and ``adoption`` take over what a restored database does not know. ``resending`` sends
again what no list shows, as long as the provider remembers its key (``remembering``).
"""
