"""Where jobs are, one by one or from the list, which of them are ours, and the sessions in which they wait."""
