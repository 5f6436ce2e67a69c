"""A receiver of callbacks that behaves badly, and checks each signature with the library of Standard Webhooks.

Prints its ports as JSON: `open`, `down` (closed for the first seconds), `trap` (nobody may ever connect to it). Writes
what comes, one JSON object a line, into the file that it is given. The secret is in WEBHOOK_SECRET.
"""

import json
import os
import random
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

DOWN_FOR = 6.0
HANG_FOR = 3.0
MOST_FAILURES = 4

lock = threading.Lock()
counts: dict[str, int] = {}
log = open(sys.argv[1], "a", buffering=1)
webhook = Webhook(os.environ["WEBHOOK_SECRET"])


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        try:
            valid = webhook.verify(body, dict(self.headers))["Id"] == self.headers["webhook-id"]
        except (WebhookVerificationError, ValueError, KeyError):
            valid = False
        task = self.headers.get("webhook-id", "")
        with lock:
            before = counts.get(task, 0)
            counts[task] = before + 1
        status, headers, pause = self.behave(before)
        with lock:
            log.write(json.dumps({"id": task, "path": self.path, "valid": valid, "status": status}) + "\n")
        time.sleep(pause)
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()
        except OSError:
            self.close_connection = True

    def behave(self, before):
        match self.path:
            case "/random" if before < MOST_FAILURES and random.random() < 0.5:
                return random.choice([400, 404, 500, 502, 503]), {}, 0
            case "/hang" if before == 0:
                return 200, {}, HANG_FOR
            case "/gone":
                return 410, {}, 0
            case "/busy" if before == 0:
                return 429, {"retry-after": "2"}, 0
            case "/redirect":
                return 307, {"location": f"http://127.0.0.1:{ports['trap']}/"}, 0
        return 200, {}, 0

    def log_message(self, *_):
        pass


def trap(listener):
    while True:
        connection, _ = listener.accept()
        connection.close()
        with lock:
            log.write(json.dumps({"id": "", "path": "/trap", "valid": False, "status": 0}) + "\n")


def free_port():
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


server = Server(("0.0.0.0", 0), Handler)
trapping = socket.create_server(("0.0.0.0", 0))
ports = {"open": server.server_port, "down": free_port(), "trap": trapping.getsockname()[1]}
threading.Thread(target=server.serve_forever, daemon=True).start()
threading.Thread(target=trap, args=(trapping,), daemon=True).start()
print(json.dumps(ports), flush=True)
time.sleep(DOWN_FOR)
Server(("0.0.0.0", ports["down"]), Handler).serve_forever()
