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
from deploynaut.engine.connections.host_keys import HostKey, fetch_host_key, fingerprint
from deploynaut.engine.connections.local import Local
from deploynaut.engine.connections.openssh import OpenSSH
from deploynaut.engine.connections.rooms import sweep

__all__ = [
    "BadAddress",
    "CommandFailed",
    "Connection",
    "ConnectionFailed",
    "ConnectionLost",
    "Fenced",
    "Host",
    "HostKey",
    "HostKeyChanged",
    "HostKeyUnknown",
    "HostUnreachable",
    "KeyRefused",
    "Local",
    "OpenSSH",
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
    "fetch_host_key",
    "fingerprint",
    "sweep",
]
