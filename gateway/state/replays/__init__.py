"""What became of calls with an `Idempotency-Key`: in this process, or on a Redis that all nodes share."""
