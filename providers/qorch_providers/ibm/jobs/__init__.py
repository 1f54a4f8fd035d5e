"""Where jobs are, one by one or from the list, and which of them are ours."""
