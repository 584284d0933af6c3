#!/usr/bin/env bash
# Runs the gate, puts its table on the page of the run and into a comment on the pull request, and exits as the gate does.
# XTASK: the program. BUDGET: the limits. FOLDER: has baseline.json, if there is one, and gets report.json, size.html and comment.md.
# PULL_REQUEST: a number, or empty for no comment.
set -euo pipefail

arguments=(size --budget "$BUDGET" --save "$FOLDER/report.json" --html "$FOLDER/size.html" --markdown)
if [ -e "$FOLDER/baseline.json" ]; then
    arguments+=(--baseline "$FOLDER/baseline.json")
fi
status=0
"$XTASK" "${arguments[@]}" >"$FOLDER/table.md" 2>"$FOLDER/problems.txt" || status=$?
cat "$FOLDER/problems.txt" >&2

# By this a later run finds its comment again.
mark="<!-- sizes of $BUDGET -->"
{
    echo "$mark"
    # A comment holds 65,536 characters.
    head -c 50000 "$FOLDER/table.md"
    if [ -s "$FOLDER/problems.txt" ]; then
        fence='```'
        printf '\n%s\n%s\n%s\n' "$fence" "$(head -c 10000 "$FOLDER/problems.txt")" "$fence"
    fi
} >"$FOLDER/comment.md"
cat "$FOLDER/comment.md" >>"$GITHUB_STEP_SUMMARY"

if [ -n "$PULL_REQUEST" ]; then
    comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments"
    earlier=$(gh api --paginate "$comments" --jq ".[] | select(.body | startswith(\"$mark\")) | .url" | head -n 1) || earlier=
    if [ -n "$earlier" ]; then
        gh api --silent --method PATCH "$earlier" --field body=@"$FOLDER/comment.md"
    else
        gh api --silent --method POST "$comments" --field body=@"$FOLDER/comment.md"
    fi || echo "::warning::cannot comment on the pull request: a token of a fork may only read"
fi
exit "$status"
