"""Messages: the outbox, the texts and the channels."""
