"""A headless Chromium without a network, driven over a pipe: real keys, a real mouse."""

import base64
import json
import os
import shutil
import subprocess

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,900",
    "--proxy-server=127.0.0.1:9",
    "--host-resolver-rules=MAP*~NOTFOUND",
    "--remote-debugging-pipe",
]
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowRight": 39}


def program():
    """Where Chromium is; None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Chromium:
    """One browser with one page. `problems` is what the console complained about."""

    def __init__(self, profile):
        ours_read, theirs_write = os.pipe()
        theirs_read, ours_write = os.pipe()
        os.set_inheritable(theirs_read, True)
        os.set_inheritable(theirs_write, True)
        shell = f'exec "$0" "$@" 3<&{theirs_read} 4>&{theirs_write}'  # Chromium's own numbers
        self.process = subprocess.Popen(
            ["bash", "-c", shell, program(), *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(theirs_read, theirs_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_read)
        os.close(theirs_write)
        self.answers, self.requests = os.fdopen(ours_read, "rb"), os.fdopen(ours_write, "wb")
        self.buffer, self.last, self.problems, self.loaded = b"", 0, [], False
        self.session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def close(self):
        self.session = None
        self.send("Browser.close")
        self.process.wait(timeout=30)
        self.answers.close()
        self.requests.close()

    def send(self, method, **parameters):
        """Send a command; its result."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.requests.write(json.dumps(message).encode() + b"\0")
        self.requests.flush()
        while True:
            answer = self._receive()
            if answer.get("id") == self.last:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def _receive(self):
        while b"\0" not in self.buffer:
            more = self.answers.read1(1 << 20)
            assert more, "the browser is gone"
            self.buffer += more
        message, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(message)
        event = message.get("method")
        self.loaded |= event == "Page.loadEventFired"
        if event in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.problems.append(json.dumps(message["params"]))
        return message

    def open(self, file, **media):
        """Load a file; media: `prefers_color_scheme="dark"` and the like."""
        features = [{"name": k.replace("_", "-"), "value": v} for k, v in media.items()]
        self.send("Emulation.setEmulatedMedia", features=features)
        self.problems, self.loaded = [], False
        self.send("Page.navigate", url=file.as_uri())
        while not self.loaded:
            self._receive()

    def run(self, script):
        """The value of an expression in the page."""
        result = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, *keys, shift=False):
        """Press keys one after another."""
        for key in keys:
            code = KEYS.get(key, ord(key[0].upper()))
            about = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
            text = (
                {"text": {"Enter": "\r"}.get(key, key)} if key == "Enter" or key not in KEYS else {}
            )
            text = {"text": " "} if key == " " else text
            self.send("Input.dispatchKeyEvent", type="keyDown", **about, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def mouse(self, kind, x, y, **more):
        self.send("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **more)

    def point(self, selector):
        """Move the mouse to the middle of an element; gives where that is."""
        x, y = self.run(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        self.mouse("Moved", x, y)
        return x, y

    def click(self, x, y):
        self.mouse("Pressed", x, y, button="left", buttons=1, clickCount=1)
        self.mouse("Released", x, y, button="left", clickCount=1)

    def shot(self, file):
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))
