"""Django's settings. What differs between installations comes from the environment; see `process_environment`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from csp.constants import NONE, SELF

from deploynaut import process_environment as env

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Where things are kept -------------------------------------------------------------------------------------------
DEPLOYNAUT_DATA = env.private_directory(env.path("DEPLOYNAUT_DATA", BASE_DIR / "var"))
DEPLOYNAUT_QUEUE = DEPLOYNAUT_DATA / "queue.sqlite3"
DEPLOYNAUT_MASTER_KEY = env.path("DEPLOYNAUT_MASTER_KEY", DEPLOYNAUT_DATA / "keys" / "master.key")
"""The private half, mode 0600: the worker process alone reads it."""
DEPLOYNAUT_MASTER_PUB = DEPLOYNAUT_MASTER_KEY.with_name(f"{DEPLOYNAUT_MASTER_KEY.name}.pub")
DEPLOYNAUT_DEMO = env.switch("DEPLOYNAUT_DEMO")

# --- How long a release waits for a host -----------------------------------------------------------------------------
DEPLOYNAUT_PATIENCE = env.number("DEPLOYNAUT_PATIENCE", 600)
"""Seconds for which the way back tries to reach a host again."""
DEPLOYNAUT_ANSWER_WITHIN = env.number("DEPLOYNAUT_ANSWER_WITHIN", 60)
"""Seconds that a host may take to show its screen or to serve a release."""

# --- How it is reached -----------------------------------------------------------------------------------------------
ALLOWED_HOSTS = env.words("DEPLOYNAUT_HOSTS", "127.0.0.1,localhost,[::1]")
ONLY_LOOPBACK = env.LOOPBACK.issuperset(ALLOWED_HOSTS)
DEPLOYNAUT_URL = env.text(
    "DEPLOYNAUT_URL",
    "http://127.0.0.1:8000" if ONLY_LOOPBACK else f"https://{ALLOWED_HOSTS[0]}",
).rstrip("/")
"""What links in messages begin with; no slash at its end."""
DEBUG = env.switch("DEPLOYNAUT_DEBUG")
if DEBUG and not ONLY_LOOPBACK:
    raise env.BadSetting("DEPLOYNAUT_DEBUG shows the inside of the program. It is for loopback hosts alone: unset it.")
SECURE = not ONLY_LOOPBACK
PROXIES = env.number("DEPLOYNAUT_PROXIES", 0)
"""How many proxies of ours stand in front; their X-Forwarded-For and -Proto are believed, nobody else's."""

SECRET_KEY = env.text("DEPLOYNAUT_SECRET_KEY") or env.kept_secret(DEPLOYNAUT_DATA / "keys" / "secret.key")
ROOT_URLCONF = "deploynaut.urls"
ASGI_APPLICATION = "deploynaut.asgi.application"

# --- What it is made of ----------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "deploynaut.durable",
    "deploynaut.accounts",
    "deploynaut.runs",
    "deploynaut.instances",
    "deploynaut.notify",
    "deploynaut.snapshots",
    "deploynaut.deployments",
    "deploynaut.web",
    "deploynaut.cli",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "django_cotton.apps.SimpleAppConfig",
    "servestatic",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    # Early, so that answers of the later ones carry its header too.
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Every address asks for a log-in but the few that LoginRequired names.
    "deploynaut.accounts.middleware.SessionLimits",
    "deploynaut.accounts.middleware.LoginRequired",
    "allauth.account.middleware.AccountMiddleware",
    "deploynaut.accounts.middleware.AuditTrail",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "django_cotton.cotton_loader.Loader",
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "builtins": ["django_cotton.templatetags.cotton"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# --- Data ------------------------------------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DEPLOYNAUT_DATA / "app.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }
}
# In the database, not in memory: what limits log-in attempts must hold for all processes together.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
        # Far more than one attacker makes: a counter that is pushed out is a new set of guesses.
        "OPTIONS": {"MAX_ENTRIES": 1_000_000},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DURABLE_ENGINE = "deploynaut.durable.dbos.DbosEngine"

# --- People ----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "deploynaut.accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if SECURE else "http"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_RATE_LIMITS = {"login": "60/m/ip", "login_failed": "30/15m/ip,10/15m/key", "reauthenticate": "10/15m/user"}
ACCOUNT_REAUTHENTICATION_TIMEOUT = int(timedelta(minutes=15).total_seconds())
MFA_ADAPTER = "deploynaut.accounts.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not SECURE
MFA_TOTP_ISSUER = "Deploynaut"
ALLAUTH_TRUSTED_PROXY_COUNT = PROXIES

# --- Sessions and cookies --------------------------------------------------------------------------------------------
DEPLOYNAUT_SESSION_IDLE = timedelta(hours=8)
DEPLOYNAUT_SESSION_ABSOLUTE = timedelta(hours=24)
SESSION_COOKIE_AGE = int(DEPLOYNAUT_SESSION_ABSOLUTE.total_seconds())
COOKIE_PREFIX = "__Host-" if SECURE else ""
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}deploynaut"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}deploynaut-csrf"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
CSRF_FAILURE_VIEW = "deploynaut.web.errors.csrf_failure"
CSRF_TRUSTED_ORIGINS = [f"https://{'*' if host.startswith('.') else ''}{host}" for host in ALLOWED_HOSTS if SECURE]

# --- Headers ---------------------------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if SECURE else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PROXIES else None
X_FRAME_OPTIONS = "DENY"

# --- Files -----------------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = DEPLOYNAUT_DATA / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}
if DEBUG:
    STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
SERVESTATIC_ALLOW_ALL_ORIGINS = False
FILE_UPLOAD_TEMP_DIR = str(env.private_directory(DEPLOYNAUT_DATA / "tmp"))
FILE_UPLOAD_PERMISSIONS = 0o600

# --- Mail ------------------------------------------------------------------------------------------------------------
_smtp = urlsplit(env.text("DEPLOYNAUT_SMTP", "smtp://127.0.0.1:25"))
EMAIL_HOST, EMAIL_PORT = _smtp.hostname or "127.0.0.1", _smtp.port or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = (
    unquote(_smtp.username or ""),
    unquote(_smtp.password or ""),
)
EMAIL_USE_SSL, EMAIL_USE_TLS = _smtp.scheme == "smtps", _smtp.scheme == "smtp+starttls"
EMAIL_TIMEOUT = 10
if DEPLOYNAUT_DEMO and not env.text("DEPLOYNAUT_SMTP"):
    # Nobody's mailbox is touched by a demo: mails lie in a folder, and the page "Messages" shows them.
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = DEPLOYNAUT_DATA / "mail"
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("DEPLOYNAUT_FROM", "Deploynaut <deploynaut@localhost>")

# --- Repositories -----------------------------------------------------------------------------------------------------
DEPLOYNAUT_PRIVATE_REPOSITORIES = env.words("DEPLOYNAUT_PRIVATE_REPOSITORIES", "")
"""Names, addresses and networks that are not public, and from which repositories may be read over https."""

# --- Text gateways and chats ------------------------------------------------------------------------------------------
DEPLOYNAUT_PRIVATE_GATEWAYS = env.switch("DEPLOYNAUT_PRIVATE_GATEWAYS")
"""Whether a gateway or chat may be at a private address, and without TLS."""

# --- Time, words, log ------------------------------------------------------------------------------------------------
USE_TZ, TIME_ZONE = True, "UTC"
USE_I18N, LANGUAGE_CODE = True, "en"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "deploynaut.server_log.PlainFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s [%(process)d] %(message)s",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "deploynaut": {"level": "INFO"},
        # Its own handlers would write every record a second time, unescaped.
        "django": {"handlers": [], "level": "WARNING"},
        # A page that is not there is not worth a line.
        "django.request": {"level": "ERROR"},
        # A handler here keeps DBOS from adding its own.
        "dbos": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}
