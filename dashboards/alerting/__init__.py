"""What is worth telling somebody: rules for Prometheus, and the same alerts for Grafana, from one list."""
