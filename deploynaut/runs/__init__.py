"""Runs: any durable work with steps, a lock key and a log."""
