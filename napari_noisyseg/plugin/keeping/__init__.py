"""What outlives a session: runs, data sets and sample data as layers, recovery."""
