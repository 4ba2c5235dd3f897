"""Virtual keys in memory, and what keeps them as the store has them."""
