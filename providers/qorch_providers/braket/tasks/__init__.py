"""Where quantum tasks are, one by one or through the search, and which of them are ours."""
