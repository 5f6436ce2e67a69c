"""Follows server-sent events with httpx-sse, and connects again with Last-Event-ID whenever the stream ends.

Usage: follow.py [--header NAME:VALUE]... [--last-event-id ID] [--until EVENT]... URL

Prints one JSON object a line: {"type", "id", "data"} of each event, the data as it came; {"type": "(connected)"} and
{"type": "(lost)"} of each connection. Ends after an event `--until` (`done` by default), or after an answer that is no
stream: {"type": "(refused)", "status"}.
"""

import argparse
import json
import time

import httpx
from httpx_sse import SSEError, connect_sse

PATIENCE = 60.0


def say(**line):
    print(json.dumps(line), flush=True)


def once(client, url, headers, state):
    """One connection; whether that was all."""
    with connect_sse(client, "GET", url, headers=headers) as source:
        status = source.response.status_code
        if status != 200:
            say(type="(refused)", status=status)
            return True
        say(type="(connected)")
        for event in source.iter_sse():
            # An event without an id keeps the one before it.
            state["id"] = event.id or state["id"]
            state["pause"] = event.retry / 1000 if event.retry is not None else state["pause"]
            # By the standard, a block without data (`retry` alone) is no event.
            if event.data:
                say(type=event.event, id=state["id"], data=event.data)
            if event.event in state["until"]:
                return True
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--last-event-id", default="")
    parser.add_argument("--until", action="append", default=[])
    parser.add_argument("url")
    given = parser.parse_args()
    state = {"id": given.last_event_id, "pause": 0.05, "until": given.until or ["done"]}
    fixed = dict(header.split(":", 1) for header in given.header)
    lost = None
    # The server's own comments come more often than this.
    with httpx.Client(timeout=httpx.Timeout(PATIENCE), trust_env=False) as client:
        while True:
            headers = {**fixed, **({"Last-Event-ID": state["id"]} if state["id"] else {})}
            before = state["id"]
            try:
                if once(client, given.url, headers, state):
                    return
                say(type="(lost)")
            except SSEError as fault:
                raise SystemExit(f"{given.url}: {fault}")
            except httpx.ConnectError as fault:
                lost = lost or time.monotonic()
                if time.monotonic() - lost > PATIENCE:
                    raise SystemExit(f"{given.url}: {fault}")
            except httpx.TransportError:
                say(type="(lost)")
            if state["id"] != before:
                lost = None
            time.sleep(state["pause"])


main()
