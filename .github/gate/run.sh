#!/usr/bin/env bash
# Evaluates the candidate.
set -euo pipefail

place="${GATE_PLACE:?}"
args=()
# Words are split at blanks; nothing in them is expanded.
read -r -d '' -a args <<<"${GATE_ARGS:-}" || true
"$place/venv/bin/ssl4rl-bench" run \
  --model="${GATE_MODEL:?}" --tasks="${GATE_TASKS:?}" --engine="${GATE_ENGINE:?}" "${args[@]}" --out="$place/run"
