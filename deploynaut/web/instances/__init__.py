"""The pages of instances: the list, one instance, its repository and revisions."""
