#!/usr/bin/env bash
# Fails the job for the verdicts that shall fail it: 1 for fail, 3 for inconclusive, as the command itself.
set -euo pipefail

verdict="${GATE_VERDICT:-}"
case "$verdict" in
  pass | fail | inconclusive) echo "verdict: $verdict" ;;
  *)
    echo "::error::the gate gave no verdict" >&2
    exit 4
    ;;
esac
if ! grep --quiet --line-regexp --fixed-strings -e "$verdict" -- "${GATE_PLACE:?}/fail-on"; then
  exit 0
fi
[[ "$verdict" == inconclusive ]] && exit 3
exit 1
