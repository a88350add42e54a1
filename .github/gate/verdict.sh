#!/usr/bin/env bash
# Fails the job for the verdicts that shall fail it: 1 for fail, 3 for inconclusive, as the command itself; 4 for what
# is no verdict, whatever the job is told to accept.
set -euo pipefail

verdict="${GATE_VERDICT:?}"
echo "verdict: $verdict"
case "$verdict" in
  pass | fail | inconclusive) ;;
  *) exit 4 ;;
esac
case ",${GATE_FAIL_ON:-}," in
  *",$verdict,"*) ;;
  *) exit 0 ;;
esac
case "$verdict" in
  pass) exit 0 ;;
  inconclusive) exit 3 ;;
  *) exit 1 ;;
esac
