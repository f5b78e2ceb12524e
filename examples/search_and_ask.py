"""Searches, then asks, and prints the answer while it comes. Standard library only.

MILLRACE_API_KEY=$(npx millrace keys create --project notes) python3 examples/search_and_ask.py "how do I rotate the keys"
"""

import json
import os
import sys
from urllib.request import Request, urlopen

url = os.environ.get("MILLRACE_URL", "http://127.0.0.1:7171")
question = sys.argv[1]


def post(path, body):
    headers = {"Authorization": f"Bearer {os.environ['MILLRACE_API_KEY']}", "Content-Type": "application/json"}
    return urlopen(Request(url + path, json.dumps(body).encode(), headers), timeout=180)


def events(response):
    """Server-sent events as (name, data): fields on lines, an empty line after each."""
    fields = {}
    for line in response:
        name, separator, value = line.decode().rstrip("\n").partition(": ")
        if name and separator:
            fields[name] = value
        elif "data" in fields:
            yield fields["event"], json.loads(fields["data"])
            fields = {}


with post("/v1/search", {"query": question, "top_k": 3}) as response:
    for hit in json.load(response)["data"]:
        print(f"{hit['score']:.3f}  {hit['source']}  {' '.join(hit['text'].split())[:60]}")
print()

with post("/v1/ask", {"question": question, "stream": True}) as response:
    for event, data in events(response):
        if event == "delta":
            print(data["text"], end="", flush=True)
        elif event == "done":
            print("\n")
            for citation in data["citations"]:
                print(f"[{citation['n']}] {citation['source']}: {citation['quote']}")
        elif event == "error":
            sys.exit(data["detail"])
