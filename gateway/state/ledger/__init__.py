"""The ledger: rows of attempts in SQL, their sums, and reports of them."""
