#!/usr/bin/env bash
# Evaluates the candidate.
set -euo pipefail

place="${RUNNER_TEMP:?}/ssl4rl-gate"
args=()
# Words are split at blanks; nothing in them is expanded.
read -r -d '' -a args <<<"${GATE_ARGS:-}" || true
"$place/venv/bin/ssl4rl-bench" run \
  --model="${GATE_MODEL:?}" --tasks="${GATE_TASKS:?}" --engine="${GATE_ENGINE:?}" "${args[@]}" --out="$place/run"
