"""Reports and plots of stored runs: where the time and the money went, and whether the ledger is whole."""
