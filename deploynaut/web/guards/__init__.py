"""What keeps a release from happening: proposals, locks, freezes, planned times."""
