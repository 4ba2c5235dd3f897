"""What acts: HTTP, state, wiring, telemetry and the command line."""
