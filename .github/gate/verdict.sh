#!/usr/bin/env bash
# Fails the job for the verdicts that shall fail it: 1 for fail, 3 for inconclusive, as the command itself. What is no
# verdict fails it always: with 4, as a failure of the program.
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
