"""A production release at its gates: approval, Deploy, rollback window; Withdraw; Resolved."""
