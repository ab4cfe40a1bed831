"""How Django knows this room."""

from __future__ import annotations

from django.apps import AppConfig


class NotifyConfig(AppConfig):
    """The room `notify`."""

    name = "deploynaut.notify"
    label = "notify"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hand the outbox to the durable engine, and the test messages to the runner."""
        from deploynaut.durable import port
        from deploynaut.notify import trials
        from deploynaut.notify.models import Message
        from deploynaut.notify.outbox import send

        def due() -> list[tuple[int, str]]:
            messages = Message.objects.get_queryset().due(now=port.now()).only("channel", "chat_id", "address")
            return [(message.pk, message.key) for message in messages[:500]]

        trials.register()
        port.register("message", send, pending=due)
