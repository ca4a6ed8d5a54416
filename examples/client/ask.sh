#!/usr/bin/env bash
# Ask a server about pictures over REST: `bash ask.sh URL MODEL FILE...`. Needs curl and jq.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: bash ask.sh URL MODEL FILE..." >&2; exit 2; }
url=$1 model=$2
shift 2

# One instance for each file: its bytes as they are, in base64, because JSON has no bytes.
request=$(for file in "$@"; do { base64 <"$file" | tr -d '\n'; } || exit; echo; done |
  jq --raw-input --null-input '{instances: [inputs | {image_bytes: {b64: .}}]}')
answer=$(curl --silent --show-error --max-time 60 --data @- "$url/v1/models/$model:predict" <<<"$request")
# TensorFlow's texts begin with {{function_node ...}}.
jq --raw-output '
  if .error then "error: \(.error | gsub("{{.*?}} "; "") | split("\n")[0])\n" | halt_error(1) else . end
  | .predictions | to_entries[]
  | . as {$key, $value} | [$value.classes, $value.scores] | transpose | max_by(.[1])
  | "\($ARGS.positional[$key]) \(.[0]) (\(.[1] * 100 | round / 100))"' --args "$@" <<<"$answer"
