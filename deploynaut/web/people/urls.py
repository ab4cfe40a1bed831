"""The addresses of this part: users, members, the audit trail."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from deploynaut.web.people import acts, audit, members, users

_USER = "users/<number:pk>"
_MEMBERS = "instances/<name:instance>/-/members"

PATTERNS: list[URLPattern | URLResolver] = [
    path("users/", users.users, name="users"),
    path("users/new/", users.CreateUser.as_view(), name="user-create"),
    path(f"{_USER}/", users.user, name="user"),
    path(f"{_USER}/disable/", acts.disable, name="user-disable"),
    path(f"{_USER}/enable/", acts.enable, name="user-enable"),
    path(f"{_USER}/sessions/", acts.end_sessions, name="user-end-sessions"),
    path(f"{_USER}/administrator/give/", acts.give_administrator, name="administrator-give"),
    path(f"{_USER}/administrator/take/", acts.take_administrator, name="administrator-take"),
    path(f"{_USER}/link/", acts.make_link, name="user-link"),
    path(f"{_MEMBERS}/", members.members, name="members"),
    path(f"{_MEMBERS}/give/", members.give, name="member-give"),
    path(f"{_MEMBERS}/take/", members.take, name="member-take"),
    path("audit/", audit.trail, name="audit"),
    path("audit/export/", audit.export, name="audit-export"),
]
