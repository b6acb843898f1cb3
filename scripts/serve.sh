#!/usr/bin/env bash
# The production server. Settings come from the environment, like everywhere else.
set -euo pipefail
cd "$(dirname "$0")/.."

# Where all processes count for /metrics, whichever of them is asked.
if [ "${WEB_CONCURRENCY:-1}" -gt 1 ] && [ -z "${PROMETHEUS_MULTIPROC_DIR:-}" ]; then
    export PROMETHEUS_MULTIPROC_DIR="${TMPDIR:-/tmp}/reasoning-site-metrics-$(id -u)-${PORT:-8000}"
    mkdir -p -m 700 "$PROMETHEUS_MULTIPROC_DIR"
    find "$PROMETHEUS_MULTIPROC_DIR" -name '*.db' -delete # of the start before
fi

# Compression of WebSocket frames costs memory per socket and leaks lengths. Frames up
# to 1 MiB reach the site, which answers those over its own limit instead of hanging up.
# Requests may end within the time that answers under way have (see the README).
exec uvicorn reasoning_site.asgi:application \
    --host "${HOST:-127.0.0.1}" --port "${PORT:-8000}" \
    --workers "${WEB_CONCURRENCY:-1}" \
    --ws websockets-sansio --ws-per-message-deflate false --ws-max-size 1048576 \
    --ws-ping-interval 20 --ws-ping-timeout 20 \
    --timeout-graceful-shutdown "${DRAIN_SECONDS:-30}" \
    --no-server-header "$@"
