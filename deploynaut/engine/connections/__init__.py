"""The only doors to a host: a connection runs commands under the fence and puts files."""

from __future__ import annotations
