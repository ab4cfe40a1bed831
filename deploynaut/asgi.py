"""The web server's way in: `uvicorn deploynaut.asgi:application --timeout-graceful-shutdown 3`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from django.core.asgi import get_asgi_application

from deploynaut.draining import watch_signals
from deploynaut.durable import port as durable

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploynaut.settings")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Any], Awaitable[None]]

_django = get_asgi_application()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer requests by Django; at the start, watch for the signal that ends endless streams."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    else:
        await _django(scope, receive, send)


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    # Loading DBOS takes a second: now, not in the first click.
    durable.engine()
    # The server has set its own handlers by now; ours run before them.
    watch_signals()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
