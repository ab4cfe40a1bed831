"""The addresses of this part."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from deploynaut.web.notices import chats
from deploynaut.web.notices.preferences import Preferences
from deploynaut.web.notices.system import System

_CHATS = "instances/<name:instance>/-/messages"

PATTERNS: list[URLPattern | URLResolver] = [
    path("system/", System.as_view(), name="system-settings"),
    path("account/messages/", Preferences.as_view(), name="preferences"),
    path(f"{_CHATS}/", chats.Chats.as_view(), name="instance-messages"),
    path(f"{_CHATS}/<number:pk>/test/", chats.test, name="chat-test"),
    path(f"{_CHATS}/<number:pk>/remove/", chats.remove, name="chat-remove"),
]
