"""The layouts of ledger and key store, one revision after the other, each with its number. What is released stays."""
