"""HTTPS as others see it: OpenSSL, curl, OpenAI's client, gRPC's C core, and testssl.sh where it is there."""

import concurrent.futures
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest

import grpc
import httpx
import openai

from grpc_client import Worker
from penstock import PROGRAM, Penstock

CONFIG = """
admin = { address = "127.0.0.1:0" }
gpus = { devices = [] }

[[listeners]]
address = "127.0.0.1:HTTPS"
tls = { certificates = [
    { cert = "FOLDER/tls.crt", key = "FOLDER/tls.key" },
    { cert = "FOLDER/other.crt", key = "FOLDER/other.key" },
], hsts = "365d" }

[[listeners]]
address = "127.0.0.1:PLAIN"
redirect_https = HTTPS

[services.chat.deployments.stable]
process = { command = ["PENSTOCK", "worker", "--load-time", "0s", "--tokens-per-second", "1000"] }
probes.ready = { http = "/health" }

[services.echo]
protocol = "h2"
deployments.main.static = { addresses = ["https://localhost:WORKER"], tls = { ca = "FOLDER/tls.crt" } }
"""

# What testssl.sh may say of a certificate that nobody but this test trusts.
# That the client may choose the cipher is right where all of them are good.
EXPECTED = ("cipher_order", "cert_", "OCSP", "DNS_CAA", "overall_grade", "scanTime", "engine_problem")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def certificate(folder, name, *hosts):
    command = [pathlib.Path(PROGRAM).resolve(), "cert", "--self-signed", *hosts]
    subprocess.run(
        [*command, "--cert", f"{name}.crt", "--key", f"{name}.key"],
        cwd=folder,
        check=True,
        capture_output=True,
    )


class HttpsClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        certificate(cls.folder, "tls", "chat.local.localhost", "localhost", "127.0.0.1")
        certificate(cls.folder, "other", "*.local.localhost")
        cls.ca = str(cls.folder / "tls.crt")
        worker = cls.grpc_worker()
        cls.port, plain = free_port(), free_port()
        cls.plain = f"http://chat.local.localhost:{plain}"
        cls.url = f"https://chat.local.localhost:{cls.port}"
        config = CONFIG.replace("FOLDER", str(cls.folder)).replace("WORKER", str(worker))
        config = config.replace("HTTPS", str(cls.port)).replace("PLAIN", str(plain))
        cls.enterClassContext(Penstock(config))
        cls.context = ssl.create_default_context(cafile=cls.ca)

    @classmethod
    def grpc_worker(cls):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[Worker()])
        key, cert = ((cls.folder / f"tls.{name}").read_bytes() for name in ["key", "crt"])
        credentials = grpc.ssl_server_credentials([(key, cert)])
        port = server.add_secure_port("localhost:0", credentials)
        server.start()
        cls.addClassCleanup(lambda: server.stop(None).wait())
        return port

    def test_the_openai_client_over_both_versions(self):
        for http2 in [False, True]:
            with httpx.Client(verify=self.context, http2=http2) as http:
                client = openai.OpenAI(
                    base_url=f"{self.url}/v1", api_key="none", http_client=http
                )
                messages = [{"role": "user", "content": "Explain turbines please"}]
                stream = client.chat.completions.create(
                    model="demo", messages=messages, stream=True
                )
                text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
                self.assertIn("turbines", text)

    def test_versions_that_are_agreed_on_by_alpn(self):
        for http2, version in [(False, "HTTP/1.1"), (True, "HTTP/2")]:
            with httpx.Client(verify=self.context, http2=http2) as client:
                answer = client.get(f"{self.url}/v1/models")
                self.assertEqual((answer.status_code, answer.http_version), (200, version))
                hsts = answer.headers["strict-transport-security"]
                self.assertEqual(hsts, "max-age=31536000")

    def test_grpc_on_both_sides(self):
        roots = (self.folder / "other.crt").read_bytes()
        credentials = grpc.ssl_channel_credentials(roots)
        options = [("grpc.default_authority", "echo.local.localhost")]
        with grpc.secure_channel(f"127.0.0.1:{self.port}", credentials, options) as channel:
            for size in [0, 10, 1_000_000]:
                answer = channel.unary_unary("/echo/Unary")(b"x" * size)
                self.assertEqual(len(answer), size)
            both = channel.stream_stream("/echo/Both")
            self.assertEqual(list(both(iter([b"a", b"", b"c"]))), [b"a", b"", b"c"])

    def curl(self, *arguments):
        command = ["curl", "--silent", "--show-error", "--max-time", "20", "--cacert", self.ca]
        for host in ["chat.local.localhost"]:
            command += ["--resolve", f"{host}:{self.port}:127.0.0.1"]
        return subprocess.run([*command, *arguments], capture_output=True, text=True)

    def test_curl(self):
        write = ["--write-out", "%{http_code} %{http_version}", "--output", "/dev/null"]
        for option, wanted in [("--http1.1", "200 1.1"), ("--http2", "200 2")]:
            answer = self.curl(option, *write, f"{self.url}/v1/models")
            self.assertEqual(answer.stdout, wanted, answer.stderr)
        for option in ["--tlsv1.2", "--tlsv1.3"]:
            answer = self.curl(option, *write, f"{self.url}/v1/models")
            self.assertTrue(answer.stdout.startswith("200 "), answer.stderr)
        # Nobody else's authority.
        self.assertEqual(self.curl("--cacert", "/dev/null", self.url).returncode, 77)

    def test_http_is_sent_to_https(self):
        with httpx.Client(verify=self.context, follow_redirects=True) as client:
            answer = client.get(f"{self.plain}/v1/models?a=1")
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(answer.history[0].status_code, 308)
        self.assertEqual(str(answer.url), f"{self.url}/v1/models?a=1")

    def test_http_at_the_port_of_https_is_told_so(self):
        answer = httpx.get(f"http://127.0.0.1:{self.port}/")
        self.assertEqual(answer.status_code, 400)
        self.assertIn("https://", answer.text)

    def openssl(self, *arguments):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", *arguments]
        return subprocess.run(command, input="", capture_output=True, text=True, timeout=30)

    def test_openssl_with_every_version(self):
        for version, works in [("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False)]:
            result = self.openssl(version, "-CAfile", self.ca, "-verify_return_error")
            self.assertEqual(result.returncode == 0, works, result.stderr)
        alpn = self.openssl("-alpn", "h2,http/1.1")
        self.assertIn("ALPN protocol: h2", alpn.stdout)

    def test_openssl_gets_the_certificate_of_the_name(self):
        for name, file in [
            ("chat.local.localhost", "tls"),
            ("echo.local.localhost", "other"),
            ("elsewhere.example.org", "tls"),
        ]:
            ca = str(self.folder / f"{file}.crt")
            result = self.openssl("-servername", name, "-CAfile", ca, "-verify_return_error")
            self.assertEqual(result.returncode, 0, f"{name}: {result.stderr}")

    def test_sessions_are_resumed(self):
        session = str(self.folder / "session")
        for version in ["-tls1_2", "-tls1_3"]:
            options = [version, "-ign_eof", "-servername", "chat.local.localhost"]
            # The tickets of TLS 1.3 come with the first answer.
            request = "GET /health HTTP/1.1\r\nhost: chat.local.localhost\r\nconnection: close\r\n\r\n"
            for option, wanted in [("-sess_out", "New, "), ("-sess_in", "Reused, ")]:
                result = subprocess.run(
                    ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", *options, option, session],
                    input=request,
                    capture_output=True,
                    text=True,
                    timeout=30,
                )
                self.assertIn(wanted, result.stdout, f"{version}: {result.stderr}")

    @unittest.skipUnless(shutil.which("testssl"), "apt-get install testssl.sh")
    def test_testssl_finds_nothing_worse_than_the_authority(self):
        found = self.folder / "testssl.json"
        subprocess.run(
            ["testssl", "--quiet", "--color", "0", "--ip", "127.0.0.1", "--openssl-timeout", "5"]
            + ["--protocols", "--server-preference", "--std", "--jsonfile", str(found)]
            + [f"chat.local.localhost:{self.port}"],
            capture_output=True,
            timeout=240,
        )
        findings = json.loads(found.read_text())
        bad = [
            f"{finding['id']}: {finding['finding']}"
            for finding in findings
            if finding["severity"] in ("MEDIUM", "HIGH", "CRITICAL")
            and not finding["id"].startswith(EXPECTED)
        ]
        self.assertEqual(bad, [])
        self.assertIn("TLS1_3", {finding["id"] for finding in findings})


if __name__ == "__main__":
    unittest.main()
