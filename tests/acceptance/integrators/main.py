"""A CGI-like program around the page's verifier: the request comes in the environment and stdin."""

import os
import sys

from verifier import verify_webhook

headers = {
    name.removeprefix("HTTP_").replace("_", "-").lower(): value
    for name, value in os.environ.items()
    if name.startswith("HTTP_WEBHOOK_")
}
now = float(os.environ["NOW"]) if "NOW" in os.environ else None
try:
    verify_webhook(os.environ["SECRET"], headers, sys.stdin.buffer.read(), now)
except ValueError as error:
    print(f"refused: {error}")
    sys.exit(3)
print("verified")
