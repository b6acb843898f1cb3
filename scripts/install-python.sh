#!/usr/bin/env bash
# Makes the virtual environment and installs the pinned packages.
# Usage: install-python.sh VENV runtime|rag|dev
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 what=$2
python=${PYTHON:-python3}

stop() {
    printf '\nSet-up stopped: %s\n' "$1" >&2
    exit 1
}

if [ ! -x "$venv/bin/pip" ]; then
    command -v "$python" >/dev/null ||
        stop "there is no $python. On Debian: apt-get install python3 python3-venv"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        stop "$("$python" --version) is too old, 3.11 is needed. PYTHON=/path/to/python3.11 names another."
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        stop "Python's venv module is missing. On Debian: apt-get install python3-venv"
    echo "Making the virtual environment $venv"
    "$python" -m venv "$venv" ||
        stop "no virtual environment could be made in $venv. Is the disk full, or the folder not yours?"
fi

case $what in
runtime)
    echo "Installing the site's packages and the built-in model (some 400 MB; a few minutes the first time)"
    set -- -r requirements.txt
    ;;
rag)
    echo "Installing what reads files (some 70 MB)"
    set -- -r requirements-rag.txt
    ;;
dev)
    echo "Installing the packages for tests and checks"
    set -- -r requirements-dev.txt -r requirements-rag.txt
    ;;
esac

# Everything is pinned, so there is nothing for pip to resolve.
"$venv/bin/python" -m pip install --disable-pip-version-check --no-deps "$@" ||
    stop "pip could not install the packages; its last lines above say why. If a download was cut off, run the same command again: what has arrived is kept. Behind a mirror, set PIP_INDEX_URL."

# Programs of people's own say `from reasoning_site import serve`, wherever they lie.
"$venv/bin/python" - "$PWD" <<'END'
import sys, sysconfig
from pathlib import Path

Path(sysconfig.get_path("purelib"), "reasoning-site.pth").write_text(sys.argv[1] + "\n")
END
