"""The command line. Nothing heavy is imported before a command needs it: `qorch --help` must be quick.

How to read it: ``main`` is the command and turns errors into ``exit_codes``. Each sub-command has a module of its
name: ``audit``, ``backends``, ``bench``, ``cache``, ``cancel``, ``compare``, ``delete``, ``doctor``, ``dry_run``,
``emulate``, ``export``, ``jobs``, ``latency``, ``plot``, ``prices``, ``profile``, ``quote``, ``recover``, ``report``,
``runs``, ``show``, ``sweep``, ``sweeps``, ``train`` and ``ui``. They share ``options``, ``output``, ``database`` and
``completion``; ``jobs``, ``show`` and ``recover`` also ``provider_sessions``. ``train`` has ``arguments``,
``train_help`` and ``interrupts``, and shares ``settings`` and ``training_options`` with ``quote`` and ``dry_run``,
both of which have ``script_process`` for programs; ``quote`` has ``quote_table``, and ``dry_run`` has
``dry_run_order``, ``dry_run_work`` and ``forecast_table``. ``sweep`` has ``sweep_trials`` and ``sweep_progress``,
shares ``sweep_table`` with ``sweeps``, and its trials do ``trial_work`` in processes of their own, as those of
``compare`` do, which has ``compare_table``. ``report`` has ``pages``, ``audit`` has ``audit_verify``, ``audit_spend``,
``audit_export`` and ``audit_reconcile``. ``runs`` has ``run_table``, and ``doctor`` has ``health``, ``backend_health``
and ``filesystems``.
"""
