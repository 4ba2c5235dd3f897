"""Where answers are kept: in this process, on Redis, and the indexes that find the nearest question."""
