"""The only doors to a host: a connection runs commands under the fence and puts files."""

from __future__ import annotations

from deploynaut.engine.connections.base import (
    CommandFailed,
    Connection,
    ConnectionFailed,
    ConnectionLost,
    Fenced,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
    KeyRefused,
    OutputTooLong,
    ProgramMissing,
    Result,
    StillRunning,
    TargetUnfit,
    TimedOut,
)
from deploynaut.engine.connections.grammar import BadAddress, Host, check_host, check_path, check_port, check_user
from deploynaut.engine.connections.local import Local

__all__ = [
    "BadAddress",
    "CommandFailed",
    "Connection",
    "ConnectionFailed",
    "ConnectionLost",
    "Fenced",
    "Host",
    "HostKeyChanged",
    "HostKeyUnknown",
    "HostUnreachable",
    "KeyRefused",
    "Local",
    "OutputTooLong",
    "ProgramMissing",
    "Result",
    "StillRunning",
    "TargetUnfit",
    "TimedOut",
    "check_host",
    "check_path",
    "check_port",
    "check_user",
]
