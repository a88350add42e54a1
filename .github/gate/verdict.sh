#!/usr/bin/env bash
# Fails the job for the verdicts that shall fail it: 1 for fail, 3 for inconclusive, as the command itself. What is no
# verdict fails it always: with 4, as a failure of the program.
set -euo pipefail

verdict="${GATE_VERDICT:?}"
echo "verdict: $verdict"
case ",${GATE_FAIL_ON:-}," in
  *",$verdict,"*) ;;
  *)
    case "$verdict" in
      pass | fail | inconclusive) exit 0 ;;
      *) exit 4 ;;
    esac
    ;;
esac
case "$verdict" in
  pass) exit 0 ;;
  inconclusive) exit 3 ;;
  *) exit 1 ;;
esac
