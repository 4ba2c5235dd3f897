"""The write-ahead journal: what the ledger's database has not yet."""
