"""What is wrong with a board or a rule: the rules of Grafana's own dashboard-linter, and stricter ones."""
