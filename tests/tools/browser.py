"""Drives Debian's Chromium through the DevTools protocol on its pipe (file descriptors 3 and 4), without any library.

Usage: browser.py PAGE SCREENSHOT TEXT [ACTION [TEXT]]

Opens the page and waits until its body holds TEXT, in capitals or not; then runs ACTION, a JavaScript expression, and
waits until the body holds the second TEXT. Prints what it saw as one JSON object: `text` (of the body, at the end),
`action` (the expression's value), `requests` (URLs), `complaints` (console, policy and script errors, failed requests),
`rows` (how many different rows of pixels the screenshot has: a blank page has next to none).
"""

import base64
import contextlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

PATIENCE = 60.0
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-extensions",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
    "--window-size=1280,1600",
]


class Browser:
    def __init__(self, program, profile):
        to_browser, self.out = os.pipe()
        self.inn, from_browser = os.pipe()

        def place_pipes():
            # First out of the way: one of them may be 3 or 4 itself.
            to_browser_again, from_browser_again = os.dup(to_browser), os.dup(from_browser)
            os.dup2(to_browser_again, 3)
            os.dup2(from_browser_again, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=place_pipes,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        self.last = 0
        self.session = None
        self.requests, self.complaints = [], []

    def message(self):
        while b"\0" not in self.buffer:
            chunk = os.read(self.inn, 1 << 20)
            if not chunk:
                raise SystemExit("Chromium ended; run `chromium --headless --no-sandbox --dump-dom about:blank` to see why")
            self.buffer += chunk
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def note(self, event):
        method, about = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif method == "Network.loadingFailed":
            self.complaints.append(f"{about['errorText']} {about.get('blockedReason', '')}")
        elif method == "Log.entryAdded":
            self.complaints.append(about["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in about["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(about["exceptionDetails"]))

    def call(self, method, **parameters):
        self.last += 1
        request = {"id": self.last, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.last:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']}")
                return message["result"]
            self.note(message)

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise SystemExit(f"{expression}: {json.dumps(result['exceptionDetails'])}")
        return result["result"].get("value")

    def until(self, text):
        """The body's text once it holds this one. The browser keeps a moment between two looks."""
        began = time.monotonic()
        while True:
            seen = self.value("new Promise(done => requestAnimationFrame(() => done(document.body?.innerText ?? '')))")
            if text.lower() in seen.lower():
                return seen
            if time.monotonic() - began > PATIENCE:
                raise SystemExit(f"{text!r} did not come; complaints: {self.complaints}; the page says: {seen}")


def rows(png):
    """How many different rows the image has, as they are stored."""
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IHDR":
            width, height, depth, colours = struct.unpack(">IIBB", png[at + 8 : at + 18])
        elif png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    stride = 1 + width * {2: 3, 6: 4}[colours] * depth // 8
    pixels = zlib.decompress(data)
    return len({pixels[row * stride : (row + 1) * stride] for row in range(height)})


@contextlib.contextmanager
def started():
    """A browser with an empty page, in a profile of its own; gone at the end."""
    program = shutil.which("chromium")
    if not program:
        raise SystemExit("chromium is missing: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            target = browser.call("Target.createTarget", url="about:blank")["targetId"]
            browser.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            yield browser
        finally:
            browser.process.kill()
            browser.process.wait()


def main():
    page, screenshot, first, *rest = sys.argv[1:]
    with started() as browser:
        for domain in ("Network", "Log", "Runtime", "Page"):
            browser.call(f"{domain}.enable")
        browser.call("Page.navigate", url=page)
        seen, action = browser.until(first), None
        if rest:
            action = browser.value(rest[0])
        if rest[1:]:
            seen = browser.until(rest[1])
        # Only what is seen is drawn: the page from its start.
        png = base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"])
    with open(screenshot, "wb") as file:
        file.write(png)
    report = {
        "text": seen,
        "action": action,
        "requests": browser.requests,
        "complaints": browser.complaints,
        "rows": rows(png),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
