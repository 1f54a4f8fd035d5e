"""What is told of all that happens in a run: loggers of users, the log of JSON lines, OpenTelemetry.

How to read it: ``run_observer`` is what a user's logger derives from. ``opening`` makes observers of their names;
``feed`` tells them, each in its own thread, what ``observed_store`` sees written. ``log`` writes JSON lines;
``telemetry`` sends traces, of which ``trace_tree`` keeps what is not complete yet, and metrics to OpenTelemetry.
"""
