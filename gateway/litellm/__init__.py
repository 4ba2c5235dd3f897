"""The providers that only litellm speaks, behind the `Upstream` seam."""
