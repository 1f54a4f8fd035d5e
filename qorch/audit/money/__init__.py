"""Where the money of runs went, from the entries of the ledger alone; nothing here reads a provider."""
