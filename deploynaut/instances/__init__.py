"""Instances, their environments, targets, members, keys and revisions."""
