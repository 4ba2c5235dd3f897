"""From what a board shows, as plain values, to the JSON that Grafana reads."""
