"""Holds calls to their limits: what one may use is reserved before it runs and settled when it is over."""
