"""What is missing for people to be told, for the front page."""

from __future__ import annotations

from deploynaut.notify import servers


def missing() -> str:
    """In words, or empty when nothing is."""
    if servers.ready():
        return ""
    return "No gateway for text messages is set up: people are told by e-mail alone."
