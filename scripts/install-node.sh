#!/usr/bin/env bash
# Installs the tools that check and test the page. The page itself needs none of them.
set -euo pipefail
cd "$(dirname "$0")/.."

stop() {
    printf '\nSet-up stopped: %s\n' "$1" >&2
    exit 1
}

command -v npm >/dev/null ||
    stop "npm is missing. Node 20 or newer is needed; on Debian: apt-get install nodejs npm"
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' ||
    stop "Node $(node --version) is too old, 20 is needed."
echo "Installing the page's checking tools (npm install)"
# Not `npm ci`: it insists on a lock entry for every platform's Biome, and not every
# mirror has those of other platforms. Versions are the lock's all the same.
npm install --no-save --no-audit --no-fund ||
    stop "npm could not install the packages; its last lines above say why. Run the same command again if a download was cut off."
