#!/usr/bin/env bash
# Checks the inputs before minutes are spent, and makes a folder for this use alone: a job may use the action twice.
set -euo pipefail

refuse() {
  printf '::error::%s\n' "$1" >&2
  exit 2
}

# An unknown word would let a verdict pass that should fail the job.
words=()
while IFS= read -r -d ',' word; do
  word="${word#"${word%%[![:space:]]*}"}"
  word="${word%"${word##*[![:space:]]}"}"
  case "$word" in
    fail | inconclusive | none) words+=("$word") ;;
    *) refuse "$(printf 'fail-on is %q, and must be fail, inconclusive, both with a comma between, or none' "${GATE_FAIL_ON:-}")" ;;
  esac
done <<<"${GATE_FAIL_ON:-},"
if [[ " ${words[*]} " == *" none "* && ${#words[@]} -gt 1 ]]; then
  refuse "fail-on none stands alone"
fi

name="${GATE_NAME:-}"
if [[ ! "$name" =~ ^[A-Za-z0-9._-]{0,40}$ ]]; then
  refuse "name must be letters, digits, dots, dashes and underscores, at most 40"
fi
artifact="${GATE_ARTIFACT:-}"
if [[ ! "$artifact" =~ ^[A-Za-z0-9._\ -]{0,100}$ ]]; then
  refuse "artifact must be letters, digits, blanks, dots, dashes and underscores"
fi

digest() {
  printf '%s\0' "$@" | sha256sum | cut -c1-8
}

# The same from one commit to the next, so that the comment is found again; the model's name may change with each.
key="${name:-$(digest "${GITHUB_WORKFLOW:-}" "${GITHUB_JOB:-}" "${GATE_TASKS:?}" "${GATE_BASELINE:?}" "${GATE_POLICY:?}")}"
number=1
place="${RUNNER_TEMP:?}/ssl4rl-gate-$key"
mkdir -p "$RUNNER_TEMP"
until mkdir "$place" 2>/dev/null; do
  number=$((number + 1))
  [[ "$number" -le 100 ]] || refuse "no folder can be made in $RUNNER_TEMP"
  place="$RUNNER_TEMP/ssl4rl-gate-$key-$number"
done
key="${place#"$RUNNER_TEMP/ssl4rl-gate-"}"

printf '%s\n' "${words[@]}" >"$place/fail-on"
printf '%s\n' "$key" >"$place/key"
{
  echo "place=$place"
  echo "artifact=${artifact:-ssl4rl-gate-$key-$(digest "${GATE_MODEL:?}" "${GATE_ARGS:-}")}"
} >>"${GITHUB_OUTPUT:?}"
