#!/usr/bin/env bash
# Puts baseline and policy into place: from the checkout, or from a branch that a pull request cannot change.
set -euo pipefail

place="${RUNNER_TEMP:?}/ssl4rl-gate"
baseline="${GATE_BASELINE:?}"
policy="${GATE_POLICY:?}"
ref="${GATE_REF:-}"
mkdir -p "$place"
rm -rf "$place/baseline" "$place/policy.toml"

if [[ -n "$ref" ]]; then
  git fetch --quiet --depth=1 --end-of-options origin "$ref"
  mkdir "$place/baseline"
  # The name's ending says whether it is compressed.
  case "$baseline" in
    *.json.gz) name=baseline.json.gz ;;
    *.json) name=baseline.json ;;
    *)
      echo "::error::with trusted-ref the baseline must be a file, .json or .json.gz" >&2
      exit 2
      ;;
  esac
  git show --end-of-options "FETCH_HEAD:$baseline" >"$place/baseline/$name"
  git show --end-of-options "FETCH_HEAD:$policy" >"$place/policy.toml"
  printf '%s\n' "$place/baseline/$name" >"$place/baseline.path"
  exit 0
fi

for file in "$baseline" "$policy"; do
  if [[ ! -e "$file" ]]; then
    printf '::error::there is no file %q in the checkout\n' "$file" >&2
    exit 2
  fi
done
cp -- "$policy" "$place/policy.toml"
printf '%s\n' "$(realpath -- "$baseline")" >"$place/baseline.path"
