"""Everything that can be set, from the environment; the README explains each."""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Any

from reasoning_site import env

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text("utf-8"))[
    "project"
]["version"]

# ------------------------------------------------------------------ the site

DEBUG = env.flag("DEBUG", default=False)
DATA_DIR = env.path("DATA_DIR", BASE_DIR / "data")
# Where Qwen-Agent and its tools write, read when it is imported.
os.environ.setdefault("QWEN_AGENT_DEFAULT_WORKSPACE", str(DATA_DIR / "workspace"))
SECRET_KEY = env.secret("SECRET_KEY", DATA_DIR / "secret-key.txt")
SECRET_KEY_GENERATED = not env.text("SECRET_KEY")
# What this site is called where others of its kind may be: by a digest of its key.
_SITE = hashlib.sha256(f"reasoning-site {SECRET_KEY}".encode()).hexdigest()[:12]
PORT = env.whole("PORT", 8000, at_most=65_535)
HTTPS = env.flag("HTTPS", default=False)
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")
WEB_CONCURRENCY = env.whole("WEB_CONCURRENCY", 1, at_least=1, at_most=1_000)
URL_PREFIX = env.url_path("URL_PREFIX")
RETENTION_DAYS = env.whole("RETENTION_DAYS", 0, at_most=100_000)  # 0: for ever
ALLOW_GUESTS = env.flag("ALLOW_GUESTS", default=True)
ALLOW_SIGNUP = env.flag("ALLOW_SIGNUP", default=False)
STAFF_SESSION_HOURS = env.whole("STAFF_SESSION_HOURS", 12, at_least=1, at_most=10_000)
LOG_LEVEL = env.choice(
    "LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
)
LOG_FORMAT = env.choice("LOG_FORMAT", "line", ("line", "json"))

# ------------------------------------------------------------------ single sign-on

OIDC_ISSUER = env.http_url("OIDC_ISSUER")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.text("OIDC_CLIENT_SECRET")
OIDC_NAME = env.text("OIDC_NAME", "single sign-on")

# ------------------------------------------------------------------ mail

_mail = env.mail_server("EMAIL_URL", "console://" if DEBUG else "")
# Without it no mail is sent, and nothing is offered that needs one.
HAS_MAIL = _mail is not None
if _mail is not None:
    EMAIL_BACKEND = f"django.core.mail.backends.{_mail.backend}.EmailBackend"
    EMAIL_HOST, EMAIL_PORT = _mail.host, _mail.port
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
    EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.starts_tls, _mail.is_tls
EMAIL_TIMEOUT = 10  # seconds; somebody waits for the page meanwhile
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "Reasoning Site <noreply@localhost>")

# ------------------------------------------------------------------ the model

LLM_BASE_URL = env.http_url("LLM_BASE_URL")
LLM_API_KEY = env.text("LLM_API_KEY")
LLM_MODEL = env.text("LLM_MODEL")
LLM_TOOL_PROTOCOL = env.choice("LLM_TOOL_PROTOCOL", "native", ("native", "nous"))
LLM_OPTIONS = env.json_object("LLM_OPTIONS")
LLM_MAX_INPUT_TOKENS = env.whole("LLM_MAX_INPUT_TOKENS", 30_000, at_least=256)
LLM_FIRST_CHUNK_TIMEOUT = env.seconds("LLM_FIRST_CHUNK_TIMEOUT", 120)
LLM_CHUNK_TIMEOUT = env.seconds("LLM_CHUNK_TIMEOUT", 60)
MAX_ITERATIONS = env.whole("MAX_ITERATIONS", 20, at_least=1)
TOOL_TIMEOUT = env.seconds("TOOL_TIMEOUT", 60)
MCP_TIMEOUT = env.seconds("MCP_TIMEOUT", 30)
BUILTIN_MODEL_PATH = env.text("BUILTIN_MODEL_PATH")
AGENTS = env.text("AGENTS")
SCRIPTED_AGENT = env.text("SCRIPTED_AGENT")
EXTRA_TOOLS = env.words("EXTRA_TOOLS")
LIBRARY_TOOLS = env.tools("LIBRARY_TOOLS")

# ------------------------------------------------------------------ bounds

MAX_RUNS = env.whole("MAX_RUNS", 64, at_least=1)
MAX_RUNS_PER_USER = env.whole("MAX_RUNS_PER_USER", 8, at_least=1)
MAX_QUEUED_RUNS = env.whole("MAX_QUEUED_RUNS", 20, at_least=1)
MAX_SOCKETS_PER_USER = env.whole("MAX_SOCKETS_PER_USER", 50, at_least=1)
MAX_SOCKETS_PER_ADDRESS = env.whole("MAX_SOCKETS_PER_ADDRESS", 200, at_least=1)
MAX_MESSAGES_PER_MINUTE = env.whole("MAX_MESSAGES_PER_MINUTE", 60, at_least=1)
MAX_EVENTS_PER_RUN = env.whole("MAX_EVENTS_PER_RUN", 200_000, at_least=100)
MAX_ANSWER_BYTES = env.whole("MAX_ANSWER_BYTES", 4 * 2**20, at_least=1024)
OUTBOX_BYTES = env.whole("OUTBOX_BYTES", 2**20, at_least=1024)

ROLE = env.choice("ROLE", "both", ("both", "web", "worker"))

# ------------------------------------------------------------------ the beat

HEARTBEAT_SECONDS = env.seconds("HEARTBEAT_SECONDS", 3)
TAKEOVER_SECONDS = env.seconds("TAKEOVER_SECONDS", 10)
POSITION_CHECK_SECONDS = env.seconds("POSITION_CHECK_SECONDS", 2)
SIGN_IN_CHECK_SECONDS = env.seconds("SIGN_IN_CHECK_SECONDS", 2)
DRAIN_SECONDS = env.whole("DRAIN_SECONDS", 30, at_most=env.MAX_SECONDS)
MAX_DATABASE_OUTAGE_SECONDS = env.seconds("MAX_DATABASE_OUTAGE_SECONDS", 60)

# ------------------------------------------------------------------ Django

INSTALLED_APPS = [
    "chat",  # first: its `runserver` speaks WebSockets
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "servestatic",
    "channels",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "reasoning_site.headers.response_headers",
    "reasoning_site.readable.ReadableMiddleware",
    "reasoning_site.setup_needed.SetupNeededMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "chat.auth.bearers.bearer_requests",  # before whatever reads a cookie
    "django.contrib.sessions.middleware.SessionMiddleware",
    "chat.auth.guests.remember_guests",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "chat.auth.guessing.GuessingMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "reasoning_site.urls"
ASGI_APPLICATION = "reasoning_site.asgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASE_POOL_SIZE = env.whole("DATABASE_POOL_SIZE", 16, at_least=2, at_most=10_000)
DATABASES = {
    "default": env.database("DATABASE_URL", DATA_DIR / "db.sqlite3", DATABASE_POOL_SIZE)
}
# A way past a connection pooler, for the lock by which a process lives.
LEASE_DATABASE = env.direct_database("LEASE_DATABASE_URL")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_HOST = env.redis_host("REDIS_URL")
# Without Redis there is no layer, not Channels' in-memory one: what one process says
# to itself goes from hand to hand.
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {}
if REDIS_HOST:
    CHANNEL_LAYERS["default"] = {
        "BACKEND": "chat.live.layer.SiteChannelLayer",
        # Redis' pub/sub knows no database numbers: sites go by their keys.
        "CONFIG": {"hosts": [REDIS_HOST], "prefix": f"reasoning-site-{_SITE}-"},
    }

AUTHENTICATION_BACKENDS = [
    "chat.auth.guessing.GuessingBackend",  # first: has who guesses wait
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}"}
    for validator in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "new_chat"
# Below which path a proxy serves the site: all addresses begin with it.
FORCE_SCRIPT_NAME = URL_PREFIX or None

# ------------------------------------------------------------------ accounts

ACCOUNT_ADAPTER = "chat.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
# In this order on the form; * where it must be given.
ACCOUNT_SIGNUP_FIELDS = [
    "username*",
    *(["email*"] if HAS_MAIL else []),
    "password1*",
    "password2*",
]
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if HAS_MAIL else "none"  # who signs up
ACCOUNT_CHANGE_EMAIL = True  # one address each
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True  # in the browser that signed up
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # strangers get no mail
ACCOUNT_EMAIL_NOTIFICATIONS = HAS_MAIL
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Reasoning Site: "
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_SESSION_REMEMBER = True
# How mails and new accounts are limited. Guessing is by chat.auth.guessing.
ACCOUNT_RATE_LIMITS = {
    "signup": "20/h/ip",
    "reset_password": "20/h/ip,5/h/key",
    "oidc": "30/m/ip",
    **dict.fromkeys(("login", "login_failed", "reauthenticate", "change_password")),
}
SOCIALACCOUNT_ADAPTER = "chat.accounts.oidc.OidcAccountAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_EMAIL_REQUIRED = False
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"  # they are proved already, or left out
PASSWORD_RESET_TIMEOUT = 24 * 3600

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = env.path("STATIC_ROOT", DATA_DIR / "static")
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "reasoning_site.storage.BundlingStorage"},
}
SERVESTATIC_ALLOW_ALL_ORIGINS = False

# ------------------------------------------------------------------ security

# Cookies know no ports: Django's own names are those of any other Django on the host.
COOKIE_PREFIX = env.text("COOKIE_PREFIX", f"site-{_SITE[:8]}")
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}-session"
GUEST_COOKIE_NAME = f"{COOKIE_PREFIX}-guest"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}-csrf"
# Below a path of a host that others share, what is theirs does not see our cookies.
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = URL_PREFIX or "/"
SESSION_ENGINE = "chat.auth.sessions"
SESSION_COOKIE_AGE = 365 * 24 * 3600  # a guest's chats are found by it, and by no more
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = False  # the page reads it and sends X-CSRFToken
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if HTTPS:
    # The proxy in front must set this header itself; deploy/nginx.conf does.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    # Subdomains and browsers' preload lists are for the owner of the domain to decide.
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 2**20
DEFAULT_EXCEPTION_REPORTER = "reasoning_site.error_pages.Reporter"

# ------------------------------------------------------------------ logging

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "chat.logs.LineFormatter",
            "format": "{asctime} {levelname:<7} {name} {message}",
            "style": "{",
        },
        "json": {"()": "chat.logs.JsonFormatter"},
    },
    "filters": {
        "without_traceback": {"()": "chat.logs.WithoutTraceback"},
        "without_secrets": {"()": "chat.logs.WithoutSecrets"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT},
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "chat": {"level": LOG_LEVEL},
        "reasoning_site": {"level": LOG_LEVEL},
        "django": {"level": "INFO"},
        "django.security.DisallowedHost": {"filters": ["without_traceback"]},
        # One line for every request, static files too, is for development only.
        "django.channels.server": {"level": "INFO" if DEBUG else "WARNING"},
        # uvicorn writes its lines itself.
        "uvicorn.error": {"filters": ["without_secrets"]},
        "uvicorn.access": {"filters": ["without_secrets"]},
        # A traceback a second while Redis is away; the hub says so, once.
        "channels_redis": {"level": "CRITICAL"},
        # A line for each connection that cannot be made while PostgreSQL is away.
        "psycopg.pool": {"level": "ERROR"},
        # These write whole requests, addresses with keys among them.
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "openai": {"level": "WARNING"},
    },
}
if LOG_FORMAT == "json":
    for name in ("uvicorn", "uvicorn.access"):
        LOGGING["loggers"][name] = {"handlers": ["stderr"], "propagate": False}
