#!/usr/bin/env bash
# Installs this package, as the action was checked out, into an environment of its own.
set -euo pipefail

place="${GATE_PLACE:?}"
extras="${GATE_EXTRAS:-}"
if [[ ! "$extras" =~ ^[a-z,]*$ ]]; then
  echo "::error::extras must be names separated by commas, such as hf,openai" >&2
  exit 2
fi
mkdir -p "$place"
python -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check "${GITHUB_ACTION_PATH:?}${extras:+[$extras]}"
"$place/venv/bin/ssl4rl-bench" --version
