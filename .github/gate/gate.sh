#!/usr/bin/env bash
# Judges the run. Annotations and the step summary are the program's own; a bad verdict fails the job later, once
# the report is uploaded. Anything that is no verdict (2 misuse, 4 a failure of the program) fails it here.
set -euo pipefail

place="${RUNNER_TEMP:?}/ssl4rl-gate"
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
  *) exit "$code" ;;
esac
# A verdict leaves its file: an exit code from elsewhere, such as an interpreter that does not start, is none.
if [[ ! -f "$place/files/gate.json" ]]; then
  exit $((code ? code : 4))
fi
{
  echo "verdict=$verdict"
  echo "run=$place/run"
  echo "report=$place/files/report.html"
  echo "files=$place/files"
} >>"${GITHUB_OUTPUT:?}"
