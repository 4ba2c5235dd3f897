"""Keys and their owners in the database, and word of their changes."""
