"""Deploynaut: releases a site onto its hosts, and puts it back when anything goes wrong."""

__version__ = "0.1.0"
