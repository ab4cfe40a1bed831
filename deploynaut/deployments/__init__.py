"""Deployments and their approvals: pipelines handed to runs."""
