"""Messages: the outbox, the texts and the channels."""


def ready() -> bool:
    """A gateway for texts is set up."""
    from deploynaut.notify import servers

    return servers.ready()
