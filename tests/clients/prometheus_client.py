"""Alert rules and dashboard, by a real Prometheus that scrapes the program."""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

from grafana_foundation_sdk.models.dashboard import Dashboard

from penstock import Penstock

FOLDER = pathlib.Path(__file__).parents[2] / "docs/prometheus"

# A service that serves, one whose addresses are dead, so that requests are tried twice and refused, and one that cannot start.
CONFIG = """
listeners = [{ address = "127.0.0.1:0" }]
admin = { address = "127.0.0.1:0" }
gpus = { devices = [] }

[services.chat.deployments.stable]
process = { command = ["PENSTOCK", "worker", "--load-time", "0s"] }
probes.ready = { http = "/health" }
scaling = { min = 0, max = 2 }

[services.dead.deployments.stable]
static = { addresses = ["127.0.0.1:DEAD", "127.0.0.1:DEAD2"] }
probes.ready = { tcp = false }

[services.broken.deployments.main]
process = { command = ["PENSTOCK", "worker", CRASH] }
scaling = { min = 1, max = 1 }
"""

PROMETHEUS = """
global: { scrape_interval: 500ms, evaluation_interval: 500ms }
rule_files: ["alerts.yml"]
scrape_configs:
  - job_name: penstock
    static_configs: [{ targets: ["ADMIN"] }]
"""

VARIABLES = {
    "$service": ".*",
    "$deployment": ".*",
    "$instance": ".*",
    "$__rate_interval": "1m",
    "$__range": "5m",
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, found, limit=60):
    """What is found, as soon as it is."""
    deadline = time.monotonic() + limit
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"it takes too long until {what}")
        time.sleep(0.1)


class Prometheus:
    """Starts a Prometheus that scrapes a Penstock; stops it at the end of the `with` block."""

    def __init__(self, admin):
        self.admin = admin

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        shutil.copy(FOLDER / "alerts.yml", self.folder)
        (self.folder / "prometheus.yml").write_text(PROMETHEUS.replace("ADMIN", self.admin))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self.folder}/prometheus.yml",
                f"--storage.tsdb.path={self.folder}/data",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        finally:
            self.process.kill()
            self.log.close()
        shutil.rmtree(self.folder)

    def ask(self, path, **parameters):
        """The data of an answer of the API, or `None` while it is not there yet."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            # It listens before it has read its own data.
            if error.code == 503:
                return None
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from error
        except (urllib.error.URLError, ConnectionError):
            if self.process.poll() is not None:
                self.log.seek(0)
                raise AssertionError(f"prometheus ended:\n{self.log.read()}") from None
            return None

    def samples(self, query):
        data = self.ask("query", query=query)
        return data["result"] if data else []

    def firing(self):
        data = self.ask("alerts") or {"alerts": []}
        firing = (alert for alert in data["alerts"] if alert["state"] == "firing")
        return {(alert["labels"]["alertname"], alert["labels"].get("service")) for alert in firing}


def panels():
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def with_values(query):
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


class Files(unittest.TestCase):
    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
    def test_every_alert_fires_when_it_should_and_not_otherwise(self):
        for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
            done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        rules = (FOLDER / "alerts.yml").read_text()
        tests = (FOLDER / "alerts_test.yml").read_text()
        for alert in re.findall(r"alert: (\w+)", rules):
            cases = re.findall(rf"alertname: {alert}\n\s+exp_alerts:(.*)", tests)
            self.assertIn("", cases, f"no case in which {alert} fires")

    def test_the_dashboard_is_one_by_grafanas_own_types(self):
        dashboard = json.loads((FOLDER / "dashboard.json").read_text())
        read = Dashboard.from_json(dashboard)
        self.assertEqual(read.title, "Penstock")
        self.assertEqual(len(read.panels), len(dashboard["panels"]))
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        taken = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
            for x in range(at["x"], at["x"] + at["w"]):
                for y in range(at["y"], at["y"] + at["h"]):
                    self.assertNotIn((x, y), taken, panel["title"])
                    taken.add((x, y))


@unittest.skipUnless(shutil.which("prometheus"), "prometheus is not installed")
class Live(unittest.TestCase):
    def setUp(self):
        config = CONFIG.replace("DEAD2", str(free_port())).replace("DEAD", str(free_port()))
        self.config = config.replace("CRASH", '"--crash-on-start"')
        self.penstock = self.enterContext(Penstock(self.config))
        self.prometheus = self.enterContext(Prometheus(self.penstock.admin))

    def get(self, service):
        request = urllib.request.Request(
            f"http://{self.penstock.address}/v1/models",
            headers={"host": f"{service}.local.localhost"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def test_every_query_of_the_dashboard_shows_something(self):
        until("it is scraped", lambda: self.prometheus.samples('up{job="penstock"} == 1'))
        queries = {
            target["expr"]: panel["title"] for panel in panels() for target in panel["targets"]
        }

        def empty():
            # Rates need two scrapes between which something happened.
            self.get("chat")
            self.get("dead")
            return {title for query, title in queries.items() if not self.prometheus.samples(with_values(query))}

        try:
            until("every panel shows something", lambda: not empty())
        except AssertionError as error:
            raise AssertionError(f"{error}: not {empty()}") from None

    def test_every_label_of_a_legend_is_there(self):
        until("it is scraped", lambda: self.prometheus.samples('up{job="penstock"} == 1'))
        until("a request was served", lambda: self.get("chat") == 200)
        for panel in panels():
            for target in panel["targets"]:
                wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                for sample in self.prometheus.samples(with_values(target["expr"])):
                    self.assertLessEqual(wanted, sample["metric"].keys(), panel["title"])

    def test_an_alert_fires_and_clears(self):
        alert = ("PenstockStartsFail", "broken")
        until("the alert fires", lambda: alert in self.prometheus.firing())
        mended = self.config.replace('"--crash-on-start"', '"--load-time", "0s"')
        program = re.search(r"\"([^\"]*)\", \"worker\"", (self.penstock.folder / "penstock.toml").read_text())
        (self.penstock.folder / "penstock.toml").write_text(mended.replace("PENSTOCK", program[1]))
        until("the alert clears", lambda: alert not in self.prometheus.firing())


if __name__ == "__main__":
    unittest.main()
