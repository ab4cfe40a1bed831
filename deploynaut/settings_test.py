"""The settings under test: a data directory of its own, quick passwords, an engine that runs nothing by itself."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Under memory where the machine has it: every test ends in a commit. `settings` reads the variable as it is loaded.
if "DEPLOYNAUT_TEST_DATA" not in os.environ:
    _home = tempfile.mkdtemp(prefix="deploynaut-test-")
    atexit.register(shutil.rmtree, _home, ignore_errors=True)
    os.environ["DEPLOYNAUT_DATA"] = _home
else:
    os.environ["DEPLOYNAUT_DATA"] = os.environ["DEPLOYNAUT_TEST_DATA"]
for _name in (
    "HOSTS",
    "DEBUG",
    "URL",
    "PROXIES",
    "MASTER_KEY",
    "SMTP",
    "DEMO",
    "PRIVATE_GATEWAYS",
    "PRIVATE_REPOSITORIES",
):
    os.environ.pop(f"DEPLOYNAUT_{_name}", None)

from deploynaut.settings import *  # noqa: E402, F403 (a settings module is a bag of names)
from deploynaut.settings import DATABASES, DEPLOYNAUT_DATA, STATIC_ROOT, STORAGES  # noqa: E402

STATIC_ROOT.mkdir(exist_ok=True)

# A file, not memory: threads and other processes see the same rows.
DATABASES["default"]["TEST"] = {"NAME": Path(DEPLOYNAUT_DATA) / "app.sqlite3"}
DATABASES["default"]["OPTIONS"]["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
DURABLE_ENGINE = "deploynaut.durable.inline.InlineEngine"
