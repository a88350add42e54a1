#!/usr/bin/env bash
# Keeps one comment at the pull request: the bot's own, known by its first line, is replaced; else a new one is made.
set -euo pipefail

place="${GATE_PLACE:?}"
summary="$place/files/summary.md"
old='<!-- ssl4rl-bench gate -->'
marker="<!-- ssl4rl-bench gate $(<"$place/key") -->" # each use of the action has its own comment
longest=60000 # GitHub takes 65,536 characters

number="$(python3 -c '
import json, sys
event = json.load(open(sys.argv[1], encoding="utf-8"))
print(int((event.get("pull_request") or {}).get("number") or 0))
' "${GITHUB_EVENT_PATH:?}")"
if [[ "$number" == 0 ]]; then
  echo "no pull request: no comment"
  exit 0
fi
python3 -c '
import sys
text = open(sys.argv[1], encoding="utf-8").read().replace(sys.argv[4], sys.argv[5], 1)
limit = int(sys.argv[3])
if len(text) > limit:
    text = text[:limit].rsplit("\n", 1)[0] + "\n\nCut off; the whole is in the step summary.\n"
open(sys.argv[2], "w", encoding="utf-8").write(text)
' "$summary" "$place/comment.md" "$longest" "$old" "$marker"

comments="repos/${GITHUB_REPOSITORY:?}/issues"
query=".[] | select(.user.type == \"Bot\" and ((.body // \"\") | startswith(\"$marker\"))) | .id"
# A pull request from a fork has a token that may only read: the summary stays where it is.
if ! found="$(gh api --paginate "$comments/$number/comments" --jq "$query")"; then
  echo "::warning::comments of the pull request cannot be read; the summary is in the step's"
  exit 0
fi
first="${found%%$'\n'*}"
if [[ "$first" =~ ^[0-9]+$ ]]; then
  target=(--method PATCH "$comments/comments/$first")
else
  target=(--method POST "$comments/$number/comments")
fi
if ! gh api "${target[@]}" -F body=@"$place/comment.md" --silent; then
  echo "::warning::the comment cannot be written (a fork's token may only read, or pull-requests: write is missing)"
fi
