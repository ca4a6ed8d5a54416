"""Headless Chromium for the tests of the page, by its DevTools protocol over a pipe: no driver, no port.

https://chromedevtools.github.io/devtools-protocol/ describes the methods and events.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
OPEN_ALL = "for (const one of document.querySelectorAll('details')) one.open = true"
VIOLATIONS = """
axe.run(document, %s).then((found) => [found.passes.length, found.violations.map((one) =>
  one.id + ': ' + one.help + ' ' +
  one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + ' ' + node.failureSummary)
)])
"""
WIDER = """
(() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const inside = (one) => one.parentElement && (getComputedStyle(one.parentElement).overflowX !== 'visible' ||
    inside(one.parentElement));
  const wide = [...document.body.querySelectorAll('*')]
    .filter((one) => one.getBoundingClientRect().right > width + 1 && !inside(one))
    .slice(0, 5).map((one) => one.outerHTML.slice(0, 160));
  return [`${document.documentElement.scrollWidth} pixels`, ...wide];
})()
"""
_TIMEOUT = 60.0  # seconds, for an answer; a slow machine under load needs some


class Browser:
    """A headless Chromium with one tab at a time."""

    def __init__(self, program: str, profile: Path) -> None:
        """Start it.

        Args:
          program: Path of Chromium.
          profile: Empty folder for its profile.
        """
        from_us, self._out = os.pipe()
        self._in, to_us = os.pipe()
        command = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        redirect = f'exec "$@" 3<&{from_us} 4>&{to_us}'  # Chromium reads from 3 and writes to 4
        self._process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", *command],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(from_us)
        os.close(to_us)
        self._ids = itertools.count(1)
        self._buffer = b""
        self.events: list[dict[str, Any]] = []

    def close(self) -> None:
        """End it."""
        try:
            self.call("Browser.close")
        except (OSError, AssertionError):
            self._process.kill()
        self._process.wait(timeout=30)
        os.close(self._out)
        os.close(self._in)

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; events that come before it are kept in `events`.

        Args:
          method: "Page.navigate".
          session: Of the tab; "" for the browser.
          **parameters: Of the method.
        """
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        content, sent = json.dumps(message).encode() + b"\0", 0
        while sent < len(content):
            sent += os.write(self._out, content[sent:])
        while True:
            found = self._read()
            if found.get("id") == number:
                assert "error" not in found, f"{method}: {found['error']}"
                result: dict[str, Any] = found["result"]
                return result
            self.events.append(found)

    def wait_for(self, event: str) -> dict[str, Any]:
        """Return the first kept event of a kind, or wait for it."""
        while True:
            for one in self.events:
                if one.get("method") == event:
                    return one
            self.events.append(self._read())

    def drain(self, seconds: float = 0.0) -> None:
        """Keep the events that have come, or that come within some seconds."""
        end = time.monotonic() + seconds
        while self._buffer or select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]:
            self.events.append(self._read())

    def _read(self) -> dict[str, Any]:
        """Return the next message."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], _TIMEOUT)
            assert ready, "Chromium does not answer"
            part = os.read(self._in, 1 << 20)
            assert part, "Chromium has ended"
            self._buffer += part
        content, self._buffer = self._buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(content)
        return found


class Tab:
    """A page in the browser, and what happened in it."""

    def __init__(
        self, browser: Browser, url: str, *, width: int = 1600, height: int = 1000, dark: bool = False
    ) -> None:
        """Open a page and wait until it is loaded.

        Args:
          browser: The browser.
          url: Of the page.
          width: Of the window in CSS pixels.
          dark: Whether the user prefers a dark page.
        """
        self._browser = browser
        browser.events.clear()
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width)
        self.prefer(dark)
        browser.events.clear()
        self.call("Page.navigate", url=url)
        browser.wait_for("Page.loadEventFired")

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol for this tab."""
        return self._browser.call(method, self._session, **parameters)

    def run(self, script: str) -> Any:
        """Return the value of an expression of JavaScript, or what a promise resolves to."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def click(self, selector: str) -> None:
        """Click with the mouse in the middle of the first element of a CSS selector."""
        place = self.run(
            "(async () => {"
            # Pictures that are loaded when they come near would move what is below them.
            " for (const one of document.images) one.loading = 'eager';"
            " await Promise.all([...document.images].map((one) => one.decode().catch(() => null)));"
            f" const found = document.querySelector({json.dumps(selector)});"
            " found.scrollIntoView({block: 'center', behavior: 'instant'});"
            " await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
            " const box = found.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key: "Tab", "Enter", "ArrowDown"."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        text = {"text": "\r"} if key == "Enter" else {}
        both = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **both, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **both)

    def resize(self, width: int, height: int = 1000) -> None:
        """Give the window another size in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, dark: bool) -> None:
        """Show the page as for a user who prefers dark or light pages."""
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def media(self, kind: str) -> None:
        """Show the page as on "print" or "screen"."""
        self.call("Emulation.setEmulatedMedia", media=kind)

    def open_all(self) -> None:
        """Open everything that is folded away."""
        self.run(OPEN_ALL)

    def violations(self, axe: str, *rules: str) -> list[str]:
        """Return what axe-core finds.

        Args:
          axe: Its source.
          *rules: Names of rules; by default all.
        """
        self.run(f"{axe};true")
        options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
        applied, found = self.run(VIOLATIONS % json.dumps(options))
        assert applied >= (1 if rules else 20), "the rules were not applied"
        return list(found)

    def too_wide(self) -> list[str]:
        """Return the page's width and what makes it wider than the window; nothing if it fits."""
        return list(self.run(WIDER))

    def fetched(self) -> list[str]:
        """Return the addresses that the page has asked for, without itself and data in it."""
        self._browser.drain(0.2)
        requests = [one["params"] for one in self._browser.events if one.get("method") == "Network.requestWillBeSent"]
        urls = [one["request"]["url"] for one in requests if one["type"] != "Document"]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """Return the errors and warnings of the console, and the exceptions of scripts."""
        self._browser.drain(0.2)
        found = []
        for one in self._browser.events:
            parameters = one.get("params", {})
            if one.get("method") == "Runtime.exceptionThrown":
                found.append(json.dumps(parameters["exceptionDetails"]))
            elif one.get("method") == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
                found.append(json.dumps(parameters["args"]))
            elif one.get("method") == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
        return found

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))
