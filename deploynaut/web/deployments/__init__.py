"""The pages of one deployment: tiles, logs, abort, the live stream."""
