"""Users, roles, rights, API tokens and the audit trail."""
