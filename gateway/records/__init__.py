"""What is written down of calls: rows, costs, lines and numbers, settled off the path."""
