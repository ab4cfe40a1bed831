"""The engine: how a deployment is done. Plain Python; knows nothing of Django, users or requests."""
