"""The smallest project that the durable room runs in: it knows no other app."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ["DURABLE_TEST_DATA"])
SECRET_KEY = "for tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["deploynaut.durable"]
DEPLOYNAUT_QUEUE = DATA / "queue.sqlite3"
DURABLE_ENGINE = "deploynaut.durable.dbos.DbosEngine"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
    }
}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "app.sqlite3",
        "TEST": {"NAME": DATA / "test.sqlite3"},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }
}
