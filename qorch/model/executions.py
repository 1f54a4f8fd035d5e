"""Executions: what a device runs and money counts. An execution is a row in one measurement basis."""


class CountsExecutions:
    """A value that counts what was executed, and what was taken from the cache instead.

    Programs that were written for earlier versions read both by their older names.
    """

    executions: int
    executions_from_cache: int

    @property
    def rows_executed(self) -> int:
        """The older name of ``executions``."""
        return self.executions

    @property
    def rows_from_cache(self) -> int:
        """The older name of ``executions_from_cache``."""
        return self.executions_from_cache
