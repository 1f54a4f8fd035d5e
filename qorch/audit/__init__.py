"""Reports and plots of stored runs: where the time and the money went; and the ledger against providers' invoices."""
