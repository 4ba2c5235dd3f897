"""What operators' tools read: metrics, traces and the log."""
