"""Client and worker in one loop, so that what a proxy finds to do is the same in every run.

Requests go ten at a time, as a loaded proxy finds them: it is stopped while all ten are written, then
finds them at once; it is stopped again while all ten answers are written. So the number of system calls,
and how many events are read at once, do not depend on how fast anything is, a tool like callgrind or
strace included.
"""

import contextlib
import os
import pathlib
import select
import signal
import socket
import time

from load import connect

BATCH = 10
CONNECTIONS = 50
STREAMS = 40
BURST = 14
PATIENCE = 120

DATA = (b'data: {"id":"chatcmpl-7b1d3f5a9c","object":"chat.completion.chunk","created":1700000000,'
        b'"model":"demo","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}\n\n')
EVENT = b"%x\r\n%s\r\n" % (len(DATA), DATA)
JSON = b'{"id":"x","object":"text_completion","choices":[{"text":"hello world"}]}'
FIELDS = b"Server: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\n"
ANSWER = (b"HTTP/1.1 200 OK\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n"
          b"Connection: keep-alive\r\n\r\n%s" % (FIELDS, len(JSON), JSON))
STREAM = (b"HTTP/1.1 200 OK\r\n%sContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
          b"Connection: keep-alive\r\n\r\n" % FIELDS)

TWO_FIELDS = b"Host: 127.0.0.1\r\nUser-Agent: h2load nghttp2/1.52.0\r\n"
# What OpenAI's client for Python sends, less what is above.
TEN_FIELDS = (b"Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en\r\n"
              b"Authorization: Bearer sk-0123456789abcdef0123456789abcdef\r\nX-Stainless-Lang: python\r\n"
              b"X-Stainless-Package-Version: 1.54.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\n"
              b"X-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.11.7\r\n")
BODY = b"x" * 4096
REQUESTS = {
    "get": b"GET /v1/models HTTP/1.1\r\n" + TWO_FIELDS + b"\r\n",
    "get10": b"GET /v1/models HTTP/1.1\r\n" + TWO_FIELDS + TEN_FIELDS + b"\r\n",
    "post": b"POST /v1/completions HTTP/1.1\r\n" + TWO_FIELDS + b"Content-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
}


@contextlib.contextmanager
def frozen(pids):
    """Stops the processes for as long as the block runs."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for pid in pids:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                while (task / "stat").read_text().rsplit(")", 1)[1].split()[0] not in "TtXZ":
                    time.sleep(0.0001)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


class Ends:
    """Both ends of one proxy. Listen first (`worker_port`), start the proxy, then call `attach`."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.worker_port = self.listener.getsockname()[1]
        self.clients, self.workers = [], {}

    def attach(self, proxy):
        self.proxy = proxy
        self.pids = proxy.family()

    def close(self):
        for sock in [*self.clients, *self.workers.values()]:
            sock.close()
        self.clients.clear()
        self.workers.clear()

    def end(self):
        self.close()
        self.listener.close()

    def open(self, count):
        self.clients = [connect(self.proxy.port) for _ in range(count)]

    def asked(self, count):
        """Waits until `count` whole requests are at the worker, and gives their sockets in order."""
        poll, known, whole, parts = select.epoll(), {}, [], {}
        poll.register(self.listener, select.EPOLLIN)
        for fd, sock in self.workers.items():
            known[fd] = sock
            poll.register(fd, select.EPOLLIN)
        deadline = time.monotonic() + PATIENCE
        while len(whole) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {len(whole)} of {count} requests reached the worker")
            for fd, _ in poll.poll(1):
                if fd == self.listener.fileno():
                    sock, _ = self.listener.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.workers[sock.fileno()] = known[sock.fileno()] = sock
                    poll.register(sock, select.EPOLLIN)
                    continue
                try:
                    piece = known[fd].recv(65536)
                except ConnectionResetError:
                    piece = b""
                if not piece:
                    # A proxy may close connections to the worker that it keeps.
                    poll.unregister(fd)
                    known.pop(fd).close()
                    del self.workers[fd]
                    continue
                parts[fd] = parts.get(fd, b"") + piece
                begin, end, body = parts[fd].partition(b"\r\n\r\n")
                wanted = len(BODY) if begin.startswith(b"POST") else 0
                if end and len(body) >= wanted:
                    whole.append(known[fd])
        poll.close()
        return whole

    def answered(self, socks, end):
        """Reads from each until what came ends with `end`."""
        for sock in socks:
            sock.settimeout(PATIENCE)
            data = b""
            while not data.endswith(end):
                piece = sock.recv(65536)
                if not piece:
                    raise RuntimeError(f"closed: {data[:300]!r}")
                data += piece

    def requests(self, kind, batches):
        """So many batches of ten requests; gives the number of requests."""
        if not self.clients:
            self.open(CONNECTIONS)
        for batch in range(batches):
            first = batch * BATCH % CONNECTIONS
            socks = self.clients[first:first + BATCH]
            with frozen(self.pids):
                for sock in socks:
                    sock.sendall(REQUESTS[kind])
            workers = self.asked(BATCH)
            with frozen(self.pids):
                for sock in workers:
                    sock.sendall(ANSWER)
            self.answered(socks, JSON)
        return batches * BATCH

    def open_streams(self, count=STREAMS):
        """Streams whose heads have been read, as pairs of the worker's socket and the client's."""
        pairs = []
        for _ in range(count):
            sock = connect(self.proxy.port)
            self.clients.append(sock)
            sock.sendall(REQUESTS["get"])
            worker, = self.asked(1)
            worker.sendall(STREAM)
            self.answered([sock], b"\r\n\r\n")
            pairs.append((worker, sock))
        return pairs

    def events(self, pairs, rounds, burst):
        """`rounds` writes of `burst` events to each stream, one after the other; gives the number of events."""
        for _ in range(rounds):
            for worker, client in pairs:
                worker.sendall(EVENT * burst)
                self.received(client, burst)
        return rounds * len(pairs) * burst

    def received(self, sock, events):
        """Reads so many events, however the proxy cuts them into chunks, to the end of the last chunk."""
        sock.settimeout(PATIENCE)
        data = b""
        while data.count(b"data: ") < events or not data.endswith(b"\n\n\r\n"):
            piece = sock.recv(65536)
            if not piece:
                raise RuntimeError("a stream was cut off")
            data += piece
