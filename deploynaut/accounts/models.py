"""The tables of this room; each lives in the module of its noun."""

from __future__ import annotations

from deploynaut.accounts.audit import AuditEntry
from deploynaut.accounts.first_administrator import FirstAdministratorLink
from deploynaut.accounts.grants import Grant
from deploynaut.accounts.people import User
from deploynaut.accounts.phones import PhoneCode

__all__ = ["AuditEntry", "FirstAdministratorLink", "Grant", "PhoneCode", "User"]
