"""What is known of every component, as plain data: entries, facts of metrics, measured properties."""
