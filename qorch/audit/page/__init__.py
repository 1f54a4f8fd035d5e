"""A run as a page of pictures: one HTML file that needs nothing beside itself.

How to read it: data flows one way. ``records`` reads a run; ``run_time`` places its sessions on one axis, ``job_times``
its jobs; ``remaining`` says what is left of it, ``progress``, ``shares``, ``latency_hours``, ``job_figures`` and
``attempts`` make figures of it, and ``comparison`` of several runs. These are drawn by ``strips``, ``gantt`` and
``bars`` with ``scales`` and few enough points (``reduction``), out of the marks of ``pictures``. ``page`` and
``notebook`` collect them; ``html`` writes them by the folder ``templates``, where everything is escaped.
"""
