"""Pictures of the boards, drawn with matplotlib from a Prometheus that watched real gateways. Previews, not Grafana."""
