#!/usr/bin/env bash
# Judges the run. Annotations and the step summary are the program's own; a bad verdict fails the job later, once
# the report is uploaded. Whatever is no verdict fails it here.
set -euo pipefail

place="${GATE_PLACE:?}"
rm -rf "$place/files"
mkdir -p "$place/files"
code=0
"$place/venv/bin/ssl4rl-bench" gate --baseline="$(<"$place/baseline.path")" --candidate="$place/run" \
  --policy="$place/policy.toml" --summary="$place/files/summary.md" --junit="$place/files/junit.xml" \
  --json="$place/files/gate.json" --html="$place/files/report.html" || code=$?
case "$code" in
  0) verdict=pass ;;
  1) verdict=fail ;;
  3) verdict=inconclusive ;;
  *)
    echo "::error::the gate itself failed (exit $code), so there is no verdict" >&2
    exit "$code"
    ;;
esac
# A verdict leaves its file, and the file says the same: an exit code alone may be of something else.
written="$(python3 -c '
import json, sys
print(json.load(open(sys.argv[1], encoding="utf-8"))["verdict"])
' "$place/files/gate.json" 2>/dev/null || true)"
if [[ "$written" != "$verdict" ]]; then
  echo "::error::the gate ended with $code without writing that verdict" >&2
  exit 4
fi
{
  echo "verdict=$verdict"
  echo "run=$place/run"
  echo "report=$place/files/report.html"
  echo "files=$place/files"
} >>"${GITHUB_OUTPUT:?}"
