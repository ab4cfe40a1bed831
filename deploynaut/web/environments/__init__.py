"""The pages of an environment: what runs there, release, settings, targets."""
