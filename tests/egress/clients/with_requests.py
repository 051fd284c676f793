"""METHOD URL ... on the command line -> a status each, as JSON. The rest is in variables."""

import json
import sys

import requests

found = []
for method, url in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    body = {"item": 4711} if method == "POST" else None
    try:
        found.append(requests.request(method, url, json=body, timeout=10).status_code)
    except requests.RequestException as error:
        found.append(403 if "403" in str(error) else str(error))
print(json.dumps(found))
