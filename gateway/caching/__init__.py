"""Answers from cache: what keeps two requests apart, one call for many waiters, replay, learning from checks."""
