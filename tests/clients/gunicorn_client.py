"""gunicorn's corpora of requests, valid and invalid ones (`tests/clients/run` fetches its sdist).

Every valid request must be answered by the worker; every invalid one must be refused, or reach the worker in a
form that can be read in one way only. Where we differ on purpose the reason is in DIFFERS.
"""

import pathlib
import re
import socket
import threading
import unittest

from penstock import Penstock

CORPUS = pathlib.Path("target/clients-gunicorn/tests/requests")

CONFIG = """
listeners = [{ address = "127.0.0.1:0" }]
admin = { address = "127.0.0.1:0" }
gpus = { devices = [] }

[services.any]
default = true
ejection = { failures = 0 }
retries = { attempts = 0 }
[services.any.deployments.main]
static = { addresses = ["127.0.0.1:PORT"] }
"""

# Valid for gunicorn and refused here.
DIFFERS = {
    **dict.fromkeys(["002", "003"], "a host has no `=` (RFC 9110 allows it, no name or address has it)"),
    "005": "a request target has no fragment (RFC 9112 §3.2)",
    **dict.fromkeys(
        ["025", "025_line", "rfc9112_smuggle_gzip_chunked_01"],
        "a coding beside chunked is 501 at best: no worker is known to take it",
    ),
    **dict.fromkeys(
        ["029", "030", "rfc9112_smuggle_te_identity_chunked_01"],
        "`identity` is no transfer coding any more (RFC 9112 §7)",
    ),
    "099": "its body is shorter than its length",
    "028": "a space before the colon is a 400 (RFC 9112 §5.1); gunicorn has an option for it",
    **dict.fromkeys(["compat_obs_fold", "compat_obs_fold_huge"], "a folded line is a 400 (RFC 9112 §5.2)"),
    **dict.fromkeys(["pp_01", "pp_02", "pp_04", "pp_05"], "the PROXY protocol is off unless the listener says so"),
    "rfc9112_target_absolute_userinfo_01": "names and passwords have no place in a target (RFC 9110 §4.2.4)",
    **dict.fromkeys(
        ["rfc9112_target_authority_connect_01", "rfc9112_target_authority_ipv6_01"],
        "this is no forward proxy",
    ),
}

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def request_of(file):
    """The bytes of a file of the corpus, with the Host that RFC 9112 wants and gunicorn does not."""
    data = file.read_bytes().replace(b"\n", b"").replace(b"\\r\\n", b"\r\n")
    data = data.replace(b"\\0", b"\0").replace(b"\\n", b"\n").replace(b"\\t", b"\t")
    data = re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda digits: bytes([int(digits[1], 16)]), data)
    # Each head by itself: there may be several requests in a file.
    has_none = rb"(?P<line>(^|(?<=\n))[^\r\n :]+ [^\r\n]+ HTTP/1\.1\r\n)(?!([^\r\n]+\r\n)*?host[ \t]*:)"
    return re.sub(has_none, rb"\g<line>Host: h\r\n", data, flags=re.IGNORECASE)


class Ambiguous(Exception):
    """What reached the worker can be read in two ways."""


def read_strictly(data):
    """How many whole requests `data` is, by the letter of RFC 9112; a part of one at its end does not count."""
    count = 0
    while data:
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            raise Ambiguous(f"no head: {data[:80]!r}")
        first, *lines = head.split(b"\r\n")
        if not re.fullmatch(rb"[!#-'*+.^`|~\w-]+ [^\s#\0-\x20\x7f]+ HTTP/1\.1", first):
            raise Ambiguous(f"request line: {first!r}")
        fields = {}
        for line in lines:
            if not re.fullmatch(rb"[!#-'*+.^`|~\w-]+:[\t\x20-\x7e\x80-\xff]*", line):
                raise Ambiguous(f"field line: {line!r}")
            name, _, value = line.partition(b":")
            fields.setdefault(name.lower(), []).append(value.strip())
        lengths = fields.get(b"content-length", [])
        codings = fields.get(b"transfer-encoding", [])
        if len(fields.get(b"host", [])) != 1 or len(lengths) + len(codings) > 1:
            raise Ambiguous(f"host or framing: {fields!r}")
        if codings:
            if codings != [b"chunked"]:
                raise Ambiguous(f"coding: {codings!r}")
            body = re.compile(rb"0*([0-9A-Fa-f]+)\r\n")
            while True:
                size = body.match(rest)
                if not size:
                    return count
                length = int(size[1], 16)
                rest = rest[size.end() :]
                if length == 0:
                    break
                if rest[length : length + 2] not in (b"\r\n", b"\r", b""):
                    raise Ambiguous(f"chunk: {rest[:80]!r}")
                rest = rest[length + 2 :]
            trailers, found, after = (b"\r\n" + rest).partition(b"\r\n\r\n")
            rest = after if found else b""
        elif lengths:
            if not lengths[0].isdigit():
                raise Ambiguous(f"length: {lengths!r}")
            if len(rest) < int(lengths[0]):
                return count
            rest = rest[int(lengths[0]) :]
        count += 1
        data = rest
    return count


class Worker:
    """Keeps what it gets, and answers whatever looks like the end of a request."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.got = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        data = bytearray()
        self.got.append(data)
        answered = 0
        with client:
            while piece := client.recv(65536):
                data += piece
                try:
                    whole = read_strictly(bytes(data))
                except Ambiguous:
                    # It is judged when the case is over; here it only must be answered.
                    whole = answered + 1
                client.sendall(ANSWER * (whole - answered))
                answered = whole


class Gunicorn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker()
        cls.penstock = cls.enterClassContext(Penstock(CONFIG.replace("PORT", str(cls.worker.port))))
        port = re.search(r":(\d+)", cls.penstock.url.split("//")[1])
        cls.address = ("127.0.0.1", int(port[1]))

    def play(self, file):
        """What the client and the worker get of a file: all statuses, and the worker's connections."""
        before = len(self.worker.got)
        known = [len(data) for data in self.worker.got]
        with socket.create_connection(self.address, timeout=20) as client:
            client.sendall(request_of(file))
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := client.recv(65536):
                answer += piece
        statuses = [int(status) for status in re.findall(rb"HTTP/1\.[01] ([2-5]\d\d)", answer)]
        got = [bytes(data[known[at] if at < before else 0 :]) for at, data in enumerate(self.worker.got)]
        return statuses, [data for data in got if data]

    def test_valid_requests_are_accepted(self):
        files = sorted((CORPUS / "valid").glob("*.http"))
        self.assertGreater(len(files), 50)
        for file in files:
            with self.subTest(file.stem):
                statuses, got = self.play(file)
                for data in got:
                    read_strictly(data)
                if file.stem in DIFFERS:
                    self.assertGreaterEqual(max(statuses, default=499), 400, "no longer differs")
                else:
                    self.assertTrue(got, statuses)
                    self.assertEqual(set(statuses), {200}, statuses)

    def test_invalid_requests_are_refused_or_harmless(self):
        files = sorted((CORPUS / "invalid").glob("*.http"))
        self.assertGreater(len(files), 50)
        for file in files:
            with self.subTest(file.stem):
                statuses, got = self.play(file)
                for data in got:
                    read_strictly(data)


if __name__ == "__main__":
    unittest.main()
