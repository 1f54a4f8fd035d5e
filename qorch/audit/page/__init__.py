"""A run as a page of pictures: one HTML file that needs nothing beside itself.

Data flows one way: ``records`` reads a run; ``run_time`` places its sessions on one axis; ``progress``, ``shares``,
``job_pictures`` and ``faults`` make figures of it, drawn by ``strips`` and ``gantt`` with ``scales``, out of the marks
of ``pictures``; ``page`` collects them; ``html`` writes them by ``templates``, where everything is escaped.
"""
