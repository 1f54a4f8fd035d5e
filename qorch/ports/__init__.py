"""What the engine asks of the world: a clock, backends and a store, with the values that they exchange.

How to read it: ``clock`` is the source of time. A ``backend`` executes jobs; one may have ``provider_sessions``,
prices that an ``invoice_format`` reads, and an ``exchange_log`` of its requests. The ``store`` keeps ``records`` and
the ``books`` of money, and counts them in ``statistics``; a ``reader`` only looks at it. The ``policy`` says how a run
behaves. ``progress`` is how far a run is, and an ``observer`` is told all that happens in it.
"""
