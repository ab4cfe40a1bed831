"""People and their roles: users, members of an instance, the audit trail."""
