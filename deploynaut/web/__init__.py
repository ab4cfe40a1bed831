"""The pages: each translates, makes one call and answers."""
