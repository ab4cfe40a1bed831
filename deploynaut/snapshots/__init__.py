"""Snapshots: rows and files of a site's data at one moment."""
