"""The exit codes of the command line; the README explains them."""

DONE, FAILED, WRONG_USAGE, OVER_BUDGET, HELD_JOBS, INTERRUPTED = 0, 1, 2, 3, 4, 130
