"""What Grafana and Prometheus show and say of a gateway, as code: `python -m dashboards.write` writes the files."""
