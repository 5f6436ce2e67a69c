"""Follows server-sent events with the EventSource of a headless Chromium, in a page of the server's own.

Usage: eventsource.py PAGE URL [EVENT]...

Opens PAGE, any document of the origin without a policy against it, and has it follow URL, with listeners for `message`,
the contract's events and these further ones. Prints one JSON object a line: {"type", "id", "data"} of each event;
{"type": "(connected)"} and {"type": "(lost)", "state"} of each connection, which the browser makes again by itself
unless the state is 2. Ends after an event `done`, or when the browser gives up.
"""

import json
import sys
import time

from browser import started

PATIENCE = 60.0
EVENTS = ["message", "open", "state", "progress", "log", "step", "done", "missed", "error"]

# The events `open` and `error` of a connection have the names of two of the server's: those are messages.
FOLLOW = """(url, events) => {
    window.seen = [];
    window.source = new EventSource(url);
    for (const name of new Set(events)) {
        source.addEventListener(name, (event) => {
            if (event instanceof MessageEvent) {
                seen.push({type: event.type, id: event.lastEventId, data: event.data});
                if (event.type === "done") source.close();
            } else if (event.type === "open") {
                seen.push({type: "(connected)"});
            } else {
                seen.push({type: "(lost)", state: source.readyState});
            }
        });
    }
}"""


def follow(browser, page, url, events):
    browser.call("Runtime.enable")
    browser.call("Page.enable")
    arrived = browser.call("Page.navigate", url=page)
    if "errorText" in arrived:
        raise SystemExit(f"{page}: {arrived['errorText']}")
    origin = "/".join(page.split("/")[:3])
    while browser.value("document.readyState !== 'complete' || location.origin") != origin:
        pass
    browser.value(f"({FOLLOW})({json.dumps(url)}, {json.dumps(EVENTS + events)})")
    last = time.monotonic()
    while True:
        # A moment for the page, then what has come since.
        seen = browser.value("new Promise(done => setTimeout(() => done(seen.splice(0)), 10))")
        for line in seen:
            print(json.dumps(line), flush=True)
            if line["type"] == "done" or line.get("state") == 2:
                return
        last = time.monotonic() if seen else last
        if time.monotonic() - last > PATIENCE:
            raise SystemExit(f"{url}: nothing came for {PATIENCE} s")


def main():
    page, url, *events = sys.argv[1:]
    with started() as browser:
        follow(browser, page, url, events)


main()
