"""Manifests that were read lately: a worker asks for those of the same few packages again and again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from deploynaut.engine.packages.manifest import Manifest

MOST_ENTRIES = 200_000
"""Of all manifests together; about 100 MB."""

_lock = threading.Lock()
_manifests: OrderedDict[bytes, Manifest] = OrderedDict()


def manifest(text: bytes) -> Manifest:
    """The manifest of this text. Raises BadManifest."""
    key = hashlib.sha256(text).digest()
    with _lock:
        found = _manifests.get(key)
        if found:
            _manifests.move_to_end(key)
            return found
    parsed = Manifest.parse(text)
    remember(text, parsed)
    return parsed


def remember(text: bytes, manifest: Manifest) -> None:
    """Have this manifest at hand, and forget the ones longest unused when there are too many."""
    with _lock:
        _manifests[hashlib.sha256(text).digest()] = manifest
        while len(_manifests) > 1 and sum(len(one.entries) for one in _manifests.values()) > MOST_ENTRIES:
            _manifests.popitem(last=False)
