"""METHOD URL ... on the command line -> a status each, as JSON. The rest is in variables."""

import json
import subprocess
import sys

found = []
for method, url in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}", "-X", method]
    if method == "POST":
        command += ["-H", "Content-Type: application/json", "-d", '{"item": 4711}']
    told = subprocess.run([*command, url], capture_output=True, text=True, timeout=20).stdout
    answered, connected = (int(each) for each in told.split())
    found.append(answered or connected)
print(json.dumps(found))
