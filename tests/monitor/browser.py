#!/usr/bin/python3 -B
"""The live page in Debian's Chromium, during a real run: by WebDriver, in plain HTTP. Screenshots are left in
tests/monitor of the build directory."""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

import world

if os.environ.get("MUSTER_TEST_TOOL", "none") != "none":
    print("the browser is slow enough without a tool")
    sys.exit(77)
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not CHROMIUM or not DRIVER:
    print("chromium and chromium-driver are not installed")
    sys.exit(77)

NODE = world.support.NODE
EVIL = "<img src=x onerror=alert(1)>"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    def __init__(self, case):
        self.case = case
        self.profile = case.scratch / "profile"
        self.driver = None
        self.port = world.until(self.start_driver)
        world.until(self.is_ready)
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        arguments += [f"--user-data-dir={self.profile}", "--no-first-run", "--disable-background-networking"]
        chrome = {"binary": CHROMIUM, "args": arguments}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": chrome}
        capabilities["goog:loggingPrefs"] = {"browser": "ALL"}
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}}, "")
        self.session = "/session/" + made["sessionId"]
        case.addCleanup(self.call, "DELETE", "")

    def start_driver(self):
        """Its port; None: it does not listen yet. Where the port that it got of IPv6 is not free for IPv4, it ends."""
        if self.driver is None or self.driver.poll() is not None:
            self.driver = self.case.start(DRIVER, "--port=0", stdout=subprocess.DEVNULL)
        return world.port_of(self.driver)

    def is_ready(self):
        try:
            return self.call("GET", "/status", None, "")["ready"]
        except OSError:
            return False

    def call(self, method, path, body=None, session=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, (self.session if session is None else session) + path, text)
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise AssertionError(f"{path}: {value['message']}")
        return value

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def cdp(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def find(self, selector):
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        """As soon as nothing is in its way: the page may still be growing."""
        world.until(lambda: self.clicked(selector))

    def clicked(self, selector):
        try:
            self.call("POST", f"/element/{self.find(selector)}/click", {})
            return True
        except AssertionError as error:
            if "intercepted" in str(error):
                return False
            raise

    def type(self, selector, text):
        self.call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector)

    def resize(self, width, height, phone=False):
        self.cdp(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone
        )

    def screenshot(self, name):
        """Of the whole page, as it is at the next look."""
        height = self.run("return document.documentElement.scrollHeight")
        width = self.run("return window.innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 6000), "scale": 1}
        shot = self.cdp("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        (world.KEPT / f"page-{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def errors(self):
        return [line["message"] for line in self.call("POST", "/se/log", {"type": "browser"}) if line["level"] == "SEVERE"]


NAMES = "#rows th > span"


class Case(world.support.Case):
    def setUp(self):
        super().setUp()
        signal.alarm(240)
        self.browser = Browser(self)

    def wait_for(self, script, *arguments):
        return world.until(lambda: self.browser.run("return " + script, *arguments))

    def row_of(self, name):
        """Of a member in the table beside its group's graph: the texts of its cells."""
        script = """const row = [...document.querySelectorAll("#groups tbody tr")]
            .find(r => r.querySelector("th > span").textContent === arguments[0]);
            return row && [...row.children].map(cell => cell.textContent)"""
        return self.browser.run(script, name)


class Test(Case):
    def setUp(self):
        super().setUp()
        # One that is killed is away for 10 s: the page looks once a second.
        self.world = world.World(self, f"listen=127.0.0.1:{self.reserve_port()}", "grace=10000")
        self.url = f"http://127.0.0.1:{self.world.monitor}/"

    def look_at(self, name, what):
        script = """const row = [...document.querySelectorAll("#rows tr")]
            .find(r => r.querySelector("th > span").textContent === arguments[0]);
            return row && row.querySelector(".state").""" + what
        return self.browser.run(script, name)

    def state_of(self, name):
        return self.look_at(name, "dataset.state")

    def badge_of(self, name):
        return self.look_at(name, "textContent")

    def test_a_run_is_seen(self):
        """Participants, a round and whom it waits for, a curve that grows, a kill -9, sorting and filtering."""
        self.world.tell("setting learning-rate 0.05")
        self.world.tell("setting <b>model</b> <script>alert(2)</script>")
        self.world.tell(f"log {EVIL}")
        people = {name: self.world.participant(name) for name in ("ada", "grace", "edsger", EVIL)}
        self.world.tell("wait 4")
        self.browser.open(self.url)
        self.wait_for("document.querySelectorAll('#rows tr').length === 4")
        self.assertEqual(sorted(self.browser.texts(NAMES)), sorted(people))

        # A round waits for all, with progress.
        self.world.tell("begin 0 hold")
        self.wait_for("document.querySelectorAll('#rounds .round').length === 1")
        self.wait_for("document.querySelector('#rounds').textContent.includes('Waiting for 4')")
        self.wait_for("[...document.querySelectorAll('#rows progress')].every(bar => bar.value === 0.4)")
        self.wait_for("[...document.querySelectorAll('#rows tr')].every(row => row.textContent.includes('loss 0.25, <b> none'))")

        # The curve grows.
        for step in range(5):
            self.world.tell(f"scalar loss {step} {1 / (step + 1)}")
        points = "Number(document.querySelector('canvas[aria-label^=loss]')?.dataset.points)"
        self.wait_for(f"{points} === 5")
        for step in range(5, 40):
            self.world.tell(f"scalar loss {step} {1 / (step + 1)}")
            self.world.tell(f"scalar accuracy {step} {1 - 1 / (step + 2)}")
        self.wait_for(f"{points} === 40")
        for step in range(3):
            self.world.tell(f"scalar bytes {step} 566245161")
        last = "[...document.querySelectorAll('figure')].find(f => f.querySelector('h3').textContent === 'bytes')"
        self.wait_for(f"{last}?.querySelector('figcaption span').textContent === '566.2M'")
        self.wait_for("document.title === 'round 1, 0/4 \u2013 server, crowd'")

        # One is frozen: the page has its name and since when. The others compute.
        people["grace"].send_signal(signal.SIGSTOP)
        world.until(lambda: self.state_of("grace") == "silent")
        self.assertRegex(self.badge_of("grace"), r"^silent \d+\.?\d* s$")
        world.until(lambda: [self.state_of(name) for name in ("ada", "edsger", EVIL)] == ["open"] * 3)
        self.wait_for("/grace, silent for \\d/.test(document.querySelector('#rounds').textContent)")
        self.wait_for("document.title.includes('1 silent')")
        people["grace"].send_signal(signal.SIGCONT)
        world.until(lambda: self.state_of("grace") == "open")

        # Two are answered, one is killed.
        for name in ("ada", "grace"):
            people[name].stdin.close()
        self.wait_for("document.querySelector('#rounds').textContent.includes('2 of 4 answered')")
        self.assertEqual(self.state_of("edsger"), "open")
        people["edsger"].send_signal(signal.SIGKILL)
        world.until(lambda: self.state_of("edsger") == "away")
        self.wait_for("[...document.querySelectorAll('#log .kind')].some(kind => kind.textContent === 'away')")
        time.sleep(1)  # the picture has some traffic, then
        self.browser.resize(1280, 900)
        self.browser.screenshot("desktop")
        self.browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.browser.screenshot("dark")
        self.browser.cdp("Emulation.setEmulatedMedia", features=[])
        self.browser.resize(390, 844, phone=True)
        self.wait_for("document.documentElement.scrollWidth <= 390")
        width = self.browser.run(f"return document.querySelector('{NAMES}').getBoundingClientRect().width")
        self.assertGreater(width, 100)  # names are not broken into pieces
        self.browser.screenshot("phone")
        self.browser.resize(1280, 900)
        world.until(lambda: self.state_of("edsger") is None)  # gone for good

        # It sorts, by keyboard too, and filters.
        self.browser.click("th[data-sort=name] button")
        self.wait_for("document.querySelector('th[data-sort=name]').getAttribute('aria-sort') === 'ascending'")
        world.until(lambda: self.browser.texts(NAMES) == sorted([EVIL, "ada", "grace"]))
        self.browser.type("th[data-sort=name] button", "\ue007")
        world.until(lambda: self.browser.texts(NAMES) == sorted([EVIL, "ada", "grace"], reverse=True))
        self.browser.type("#filter", "ONERROR")
        world.until(lambda: self.browser.texts(NAMES) == [EVIL])

        # Nothing of it has become markup.
        self.assertEqual(self.browser.run("return document.querySelectorAll('main img, main b, main script').length"), 0)
        self.assertIn(EVIL, "".join(self.browser.texts("#log")))
        self.assertIn("<script>alert(2)</script>", self.browser.texts("#settings dd"))
        self.assertEqual(self.browser.errors(), [])

    def test_a_group_is_seen(self):
        """A link, who waits for whom, and a member that is killed."""
        names = ("ada", "grace", "edsger", EVIL)
        people = {name: self.world.member(name, 5) for name in names}
        self.world.tell("group 5")
        self.browser.open(self.url)
        self.browser.resize(1280, 900)
        self.wait_for("document.querySelectorAll('#groups tbody tr').length === 5")
        self.assertEqual(self.browser.run("return document.querySelectorAll('#groups svg circle').length"), 5)
        self.assertEqual(self.browser.run("return document.querySelectorAll('#groups line').length"), 0)
        self.assertIn("in this process", self.row_of("watcher")[1])
        ranks = {name: int(self.row_of(name)[0]) for name in (*names, "watcher")}

        self.world.tell(f"send {ranks['ada']}")
        self.world.tell(f"send {ranks['grace']}")
        self.wait_for("document.querySelectorAll('#groups line[data-link=open]').length === 2")
        self.world.tell(f"receive {ranks['edsger']}")
        arrow = f"{ranks['watcher']} waits for {ranks['edsger']}: receive"
        self.wait_for("document.querySelector('#groups .wait title')?.textContent.startsWith(arguments[0])", arrow)
        self.assertTrue(self.row_of("watcher")[4].startswith(f"waits for {ranks['edsger']}: receive"))
        self.assertTrue(self.row_of("edsger")[4].startswith(f"awaited by {ranks['watcher']}: receive"))
        self.assertNotEqual(self.row_of("ada")[3], "")
        self.assertEqual(self.row_of("edsger")[3], "")
        self.browser.screenshot("group")

        # It is lost, and marked; nobody waits for it any more.
        people["edsger"].send_signal(signal.SIGKILL)
        world.until(lambda: self.row_of("edsger")[2] == "lost")
        self.wait_for("document.querySelectorAll('#groups g[data-state=lost]').length === 1")
        self.wait_for("document.querySelectorAll('#groups .wait').length === 0")
        self.assertIn("4 of 5 members present, 1 lost", self.browser.run("return document.querySelector('#groups svg').ariaLabel"))
        self.wait_for("[...document.querySelectorAll('#log .kind')].some(kind => kind.textContent === 'lost')")
        self.browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.browser.screenshot("group-dark")
        self.browser.cdp("Emulation.setEmulatedMedia", features=[])
        self.browser.resize(390, 844, phone=True)
        self.wait_for("document.documentElement.scrollWidth <= 390")
        self.browser.screenshot("group-phone")
        self.assertEqual(self.browser.run("return document.querySelectorAll('main img').length"), 0)
        self.assertEqual(self.browser.errors(), [])

    def test_a_group_of_200(self):
        """All in this process: a ring of links."""
        self.world.tell("ring 200")
        self.browser.open(self.url)
        self.browser.resize(1280, 900)
        self.wait_for("document.querySelectorAll('#groups line[data-link=open]').length === 200")
        self.assertEqual(self.browser.run("return document.querySelectorAll('#groups svg circle').length"), 200)
        self.assertEqual(self.browser.run("return document.querySelectorAll('#groups tbody tr').length"), 200)
        self.browser.screenshot("group-of-200")
        self.assertEqual(self.browser.errors(), [])

    def test_thousands(self):
        """5,000 participants: one page of them at a time."""
        self.world.tell("crowd 5000")
        self.world.tell("rounds 1 2")
        self.browser.open(self.url)
        self.browser.resize(1280, 900)
        self.wait_for("document.querySelector('#page').textContent.includes('of 5,000')")
        self.assertLessEqual(self.browser.run("return document.querySelectorAll('#rows tr').length"), 100)
        self.wait_for("document.querySelector('#no-curves').hidden")
        self.assertLess(self.browser.run("return document.querySelector('#curves').getBoundingClientRect().top"), 1800)
        self.browser.run("document.querySelector('#scroll').scrollTop = 500")
        heading = "document.querySelector('thead').getBoundingClientRect().top"
        self.assertEqual(self.browser.run(f"return document.querySelector('thead th').getBoundingClientRect().top > {heading}"), True)
        self.browser.click("th[data-sort=name] button")
        self.wait_for(f"document.querySelector('{NAMES}').textContent === 'member-00000'")
        self.browser.click("#next")
        self.wait_for(f"document.querySelector('{NAMES}').textContent === 'member-00050'")
        self.browser.type("#filter", "member-0499")
        world.until(lambda: self.browser.texts(NAMES) == [f"member-0499{i}" for i in range(10)])
        self.browser.screenshot("thousands")
        self.assertEqual(self.browser.errors(), [])

    def test_numbers_for_people(self):
        self.browser.open(self.url)
        self.wait_for("document.querySelector('#connection').dataset.state === 'live'")
        shown = self.browser.run("return [percent(0.29), percent(0.999), percent(1), bytes(999999), value(0.123456789), value(-2e9)]")
        self.assertEqual(shown, ["29 %", "99 %", "100 %", "1.0 MB", "0.12346", "-2G"])

    def test_the_server_goes_and_comes_back(self):
        self.world.tell("log before")
        self.browser.open(self.url)
        self.wait_for("document.querySelector('#connection').dataset.state === 'live'")
        self.wait_for("document.querySelector('#log').textContent.includes('before')")
        self.world.end()
        self.wait_for("document.querySelector('#gone').hidden === false")
        self.wait_for("document.title.includes('no answer')")
        self.browser.resize(1280, 900)
        self.browser.screenshot("gone")
        self.world = world.World(self, f"listen=127.0.0.1:{self.world.monitor}")
        self.world.tell("log after")
        self.wait_for("document.querySelector('#gone').hidden === true")
        self.wait_for("document.querySelector('#log').textContent.includes('after')")
        self.wait_for("!document.querySelector('#log').textContent.includes('before')")


@unittest.skipUnless(NODE[0].exists(), "the programs are not built")
class Program(Case):
    """A run of nodes, of which four are in the process that shows them."""

    def start_nodes(self):
        reading, writing = os.pipe()
        options = ["--members=5", "--rounds=1000000", "--topology=ring", "--patience=1000"]
        nodes = self.start(
            NODE, "--coordinate=127.0.0.1:0", "--threads=4", f"--port-file=/dev/fd/{writing}", "--monitor=127.0.0.1:0",
            *options, pass_fds=[writing],
        )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading) as pipe:
            port = int(pipe.readline())
        self.read_all_of(nodes)
        return lambda: self.read_all_of(self.start(NODE, f"--coordinator=127.0.0.1:{port}", "--name=frozen", *options))

    def read_all_of(self, process):
        """Nobody is to wait for one who does not read. Rank 0 is in either process."""
        threading.Thread(target=lambda: self.lines.extend(process.stdout)).start()
        return process

    def holders(self):
        return self.browser.texts("#groups g[data-holds=true] title")

    def test_a_frozen_node_is_waited_for(self):
        self.lines = []
        start_other = self.start_nodes()
        self.browser.open(world.until(lambda: next((line.split()[-1] for line in self.lines if "monitor at" in line), None)))
        self.browser.resize(1280, 900)
        self.wait_for("document.querySelector('#log').textContent.includes('waiting for the 5 members of group default')")
        self.wait_for("document.querySelector('#participants').hidden")
        self.browser.screenshot("group-waits")
        frozen = start_other()
        self.wait_for("document.querySelectorAll('#groups svg circle').length === 5")

        # The graph: each edge of the ring is there, as it has an end in this process.
        rank = int(self.row_of("frozen")[0])
        self.assertNotIn("in this process", self.row_of("frozen")[1])
        ring = {f"{min(a, b)} \u2013 {max(a, b)}: open" for a, b in [(i, (i + 1) % 5) for i in range(5)]}
        world.until(lambda: ring <= {text.split(",")[0] for text in self.browser.texts("#groups .link title")})
        world.until(lambda: any(line.startswith("round 3:") for line in self.lines))

        # Sooner or later all wait for it, be it through others, and it is pointed at.
        frozen.send_signal(signal.SIGSTOP)
        world.until(lambda: [title.split(",")[0] for title in self.holders()] == [f"rank {rank}: frozen"])
        waits = self.browser.texts("#groups .wait[data-brief=false] title")
        self.assertTrue(any(re.match(rf"[0-4] waits for {rank}: \w+, \d.* s$", text) for text in waits), waits)
        self.assertRegex(self.row_of("frozen")[4], r"^awaited by [0-4].*: \w+, \d.* s")
        self.assertEqual(self.browser.texts("#groups tbody th > span")[0], "frozen")
        self.browser.screenshot("group-frozen")

        frozen.send_signal(signal.SIGCONT)
        world.until(lambda: not self.holders())
        self.assertEqual(self.browser.errors(), [])


if __name__ == "__main__":
    world.main()
