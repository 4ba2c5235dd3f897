"""What the words of questions say beside vectors: numbers, units, names, denials, opposites, read and compared."""
