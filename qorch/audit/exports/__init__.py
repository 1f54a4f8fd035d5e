"""The ledger for other programs: as it is, or as FOCUS has it, in CSV, JSON and Parquet files."""
