#!/bin/sh
# Searches, then asks, and shows both as they come over the wire.
#   MILLRACE_API_KEY=$(npx millrace keys create --project notes) sh examples/search-and-ask.sh "how do I rotate the keys"
set -eu
url=${MILLRACE_URL:-http://127.0.0.1:7171}
# As a string in JSON; a line end would need an escape too.
question=$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')

post() {
  curl --silent --show-error --fail-with-body --no-buffer "$url$1" \
    --header "Authorization: Bearer $MILLRACE_API_KEY" --header "Content-Type: application/json" --data "$2"
}

post /v1/search "{\"query\": \"$question\", \"top_k\": 3}"
echo
post /v1/ask "{\"question\": \"$question\", \"stream\": true}"
