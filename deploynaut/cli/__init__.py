"""The door for the terminal: management commands that translate a wish into one call each."""
