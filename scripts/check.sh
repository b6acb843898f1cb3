#!/usr/bin/env bash
# Everything that must hold, in the order that fails fastest. `make check` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    printf '\n── %s\n' "$*"
    "$@"
}

# An owner behind TLS, on PostgreSQL and Redis, must get no warnings either.
deploy_check() {
    env DEBUG=0 HTTPS=1 SECRET_KEY="$(printf 'a1B-z%.0s' {1..12})" ALLOWED_HOSTS=chat.example \
        DATABASE_URL=postgres://site@localhost/site REDIS_URL=redis://localhost \
        python manage.py check --deploy --fail-level WARNING
}

step ruff format --check .
step ruff check .
step typos
step lint-imports
step mypy
step djlint templates --check --lint
step npm run --silent lint
step npm run --silent types
step npm run --silent vendor -- --check
step npm run --silent vendor -- --check
step python manage.py makemigrations --check --dry-run
step python manage.py check --fail-level WARNING
step deploy_check
coverage erase
step coverage run -m pytest -n 3 --dist loadfile
step coverage combine --quiet
step coverage report
step npm test --silent
