"""Reports and plots of stored runs: where time and money went, whether the ledger is whole, and what invoices say."""
