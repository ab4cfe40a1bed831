"""The child: reads one parcel, delivers it, writes the answer. Knows nothing of Django and of the books."""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from deploynaut.notify.courier.answers import Told

MEMORY = 1 << 30


def main() -> None:
    """One parcel in, one answer out."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)
    parcel = json.loads(sys.stdin.buffer.read())
    # Libraries may print; the answer alone goes to the parent.
    answer_to, sys.stdout = sys.stdout, sys.stderr
    json.dump(_deliver(parcel), answer_to)


def _deliver(parcel: dict[str, Any]) -> dict[str, Any]:
    try:
        if parcel["by"] == "smtp":
            from deploynaut.notify.courier.smtp import deliver
        else:
            from deploynaut.notify.courier.gateway import deliver
        return deliver(parcel).for_the_parent(parcel)
    except MemoryError:
        return Told(False, "the answer was too large", perhaps=True).for_the_parent(parcel)
    except Exception as error:
        return Told(False, f"{type(error).__name__}: {error}", perhaps=True).for_the_parent(parcel)


if __name__ == "__main__":
    main()
