"""Pointsman beside nginx, Envoy, a bare aiohttp proxy and LiteLLM's proxy, on one core each. `make bench` runs it."""
