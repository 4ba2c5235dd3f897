"""What the words of questions say beside their vectors: numbers, units, names, denials, opposites, read and compared."""
