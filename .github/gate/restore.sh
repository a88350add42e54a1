#!/usr/bin/env bash
# Puts baseline and policy into place. Where there is a branch that a change is to go into, they come from that branch:
# a change is not judged by its own edit of them.
set -euo pipefail

place="${GATE_PLACE:?}"
baseline="${GATE_BASELINE:?}"
policy="${GATE_POLICY:?}"
ref="${GATE_REF:-}"
mkdir -p "$place"
rm -rf "$place/baseline" "$place/policy.toml"
mkdir "$place/baseline"

refuse() {
  printf '::error::%s\n' "$1" >&2
  exit 2
}

# The path of a file in the repository; empty for one that lies elsewhere, which no change can edit.
inside() {
  local path
  path="$(realpath --canonicalize-missing --no-symlinks --relative-to="$top" -- "$1")"
  case "$path" in
    .. | ../*) ;;
    *) printf '%s' "$path" ;;
  esac
}

from_checkout() {
  [[ -e "$1" ]] || refuse "$(printf 'there is no file %q in the checkout' "$1")"
  cp -RL -- "$1" "$2"
}

from_branch() {
  if [[ "$(git cat-file -t "$commit:$1")" == tree ]]; then
    mkdir "$2"
    git archive "$commit:$1" | tar -x -C "$2"
  else
    git cat-file blob "$commit:$1" >"$2"
  fi
}

# The name's ending says whether a file is compressed.
target="$place/baseline/$(basename -- "$baseline")"
printf '%s\n' "$target" >"$place/baseline.path"
[[ "$target" != *$'\n'* ]] || refuse "the baseline's name has a line break"

if [[ -z "$ref" ]]; then
  from_checkout "$baseline" "$target"
  from_checkout "$policy" "$place/policy.toml"
  exit 0
fi

if [[ -n "${GATE_TOKEN:-}" ]]; then # for a private repository whose checkout kept no credentials
  GIT_CONFIG_VALUE_0="AUTHORIZATION: basic $(printf 'x-access-token:%s' "$GATE_TOKEN" | base64 --wrap=0)"
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.${GITHUB_SERVER_URL:-https://github.com}/.extraheader" GIT_CONFIG_VALUE_0
fi
[[ "$ref" == refs/* ]] || ref="refs/heads/$ref" # a tag of that name does not count
git fetch --quiet --no-tags --depth=1 --end-of-options origin "$ref"
commit="$(git rev-parse --verify --quiet 'FETCH_HEAD^{commit}')"
top="$(git rev-parse --show-toplevel)"

kept=() missing=()
for path in "$baseline" "$policy"; do
  own="$(inside "$path")"
  if [[ -z "$own" ]] || git cat-file -e "$commit:$own" 2>/dev/null; then
    kept+=("$path")
  else
    missing+=("$path")
  fi
done
if [[ ${#kept[@]} -eq 0 ]]; then
  printf '::warning::%q has neither %q nor %q yet: this change brings them in and is judged by its own; once it is merged, the branch decides\n' \
    "$ref" "$baseline" "$policy"
  from_checkout "$baseline" "$target"
  from_checkout "$policy" "$place/policy.toml"
  exit 0
fi
if [[ ${#missing[@]} -gt 0 ]]; then
  refuse "$(printf '%q has no %q; merge it first, since a change is not judged by its own files' "$ref" "${missing[0]}")"
fi
own="$(inside "$baseline")"
if [[ -n "$own" ]]; then from_branch "$own" "$target"; else from_checkout "$baseline" "$target"; fi
own="$(inside "$policy")"
if [[ -n "$own" ]]; then from_branch "$own" "$place/policy.toml"; else from_checkout "$policy" "$place/policy.toml"; fi
