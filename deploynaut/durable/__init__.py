"""The port to the durable queue: wakes, the worker, its heartbeat and the reconciler. Knows no other app."""
