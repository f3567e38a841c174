"""What puts load on a proxy: wrk and h2load for requests, and a loop of our own for the rest."""

import gc
import random
import re
import select
import socket
import ssl
import subprocess
import time

from proxies import LIBC, LOAD_CORE, die_with_parent, grpc_message

CONNECTIONS = 50
FRAME = b"\x82\xe4\0\0\0\0" + bytes(100)
FRAME_BACK = 2 + 100
PR_SET_TIMERSLACK = 29


def wrk(bench, url, seconds, connections=CONNECTIONS, body=None, content_type="application/json"):
    """Requests that wrk got answered with success in so many seconds; `body` makes them POST."""
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
    if body is not None:
        sent = bench.folder / f"body-{len(body)}"
        sent.write_bytes(body)
        script = bench.folder / f"post-{len(body)}.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.body = io.open("{sent}", "rb"):read("*a")\n'
                          f'wrk.headers["Content-Type"] = "{content_type}"\n')
        command += ["-s", script]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True, preexec_fn=die_with_parent)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"requests failed:\n{done.stdout}")
    return int(re.search(r"(\d+) requests in", done.stdout)[1])


def h2load(bench, url, seconds, connections, streams, grpc=False, may_lose=0.0):
    """The same by h2load, over h2c by prior knowledge; with `grpc`, unary calls of 64 bytes. Such a share of them
    may fail, and is not counted."""
    command = ["taskset", "-c", LOAD_CORE, "h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}"]
    if grpc:
        message = bench.folder / "call"
        message.write_bytes(grpc_message(64))
        command += ["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers"]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True, preexec_fn=die_with_parent)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", done.stdout)
    lost = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    if not codes:
        raise RuntimeError(f"calls failed:\n{done.stdout}{done.stderr}")
    good, *others = map(int, codes.groups())
    if max(sum(others), *map(int, lost.groups())) > may_lose * good:
        raise RuntimeError(f"calls failed:\n{done.stdout}{done.stderr}")
    return good


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def connect(port, tls=False, source=None):
    sock = socket.create_connection(("127.0.0.1", port), 20, (source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls_context().wrap_socket(sock) if tls else sock


def head(sock):
    """The head of an answer, and the bytes behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            raise RuntimeError(f"closed before the end of the head: {data!r}")
        data += piece
    head, rest = data.split(b"\r\n\r\n", 1)
    if not re.match(rb"HTTP/1\.1 (200|101) ", head):
        raise RuntimeError(f"answered {head[:200]!r}")
    return head, rest


def whole(sock):
    """Reads an answer to the end that its Content-Length tells."""
    begin, body = head(sock)
    length = int(re.search(rb"\r\ncontent-length: *(\d+)", begin, re.I)[1])
    while len(body) < length:
        piece = sock.recv(65536)
        if not piece:
            raise RuntimeError("an answer was cut off")
        body += piece


class Streams:
    """Event streams that are open: `warm` events of each were read, the rest waits for `go`."""

    def __init__(self, bench, port, streams, each, gap, burst=1, warm=0, tls=False, request=None, sources=1):
        self.bench, self.streams = bench, []
        self.poll = select.epoll()
        self.events, self.left = 0, streams * (each - warm)
        try:
            for index in range(streams):
                sock = connect(port, tls, f"127.0.0.{1 + index % sources}")
                self.streams.append(sock)
                sock.sendall(b"GET /events?count=%d&gap=%d&burst=%d&warm=%d HTTP/1.1\r\n"
                             b"Host: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n" % (each, gap, burst, warm))
            self.tails = {}
            self.open = {}
            for sock in self.streams:
                _, rest = head(sock)
                sock.setblocking(False)
                self.open[sock.fileno()] = sock
                self.tails[sock.fileno()] = b""
                self.poll.register(sock, select.EPOLLIN)
                self.took(sock.fileno(), rest)
                if tls:
                    self.drain(sock)
            self.read_until(lambda: self.events >= streams * warm)
        except BaseException:
            self.close()
            raise

    def took(self, fd, piece):
        self.events += piece.count(b"data: ")
        self.tails[fd] = (self.tails[fd] + piece)[-7:]

    def drain(self, sock):
        """Reads all there is: TLS may hold read bytes back that no poll tells of."""
        while True:
            try:
                piece = sock.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not piece:
                raise RuntimeError("a stream was cut off")
            self.took(sock.fileno(), piece)
            if not isinstance(sock, ssl.SSLSocket):
                return

    def read_until(self, enough, patience=60):
        deadline = time.monotonic() + patience
        while not enough():
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {self.events} events came in {patience} s")
            for fd, _ in self.poll.poll(1, 512):
                sock = self.open[fd]
                self.drain(sock)
                if self.tails[fd] == b"\r\n0\r\n\r\n":
                    self.poll.unregister(fd)
                    del self.open[fd]

    def finish(self):
        """Lets the worker go on, reads to the end, and gives the number of events since."""
        with connect(self.bench.worker) as order:
            order.sendall(b"GET /go HTTP/1.1\r\nHost: worker\r\n\r\n")
            whole(order)
        self.read_until(lambda: not self.open)
        return self.left

    def close(self):
        for sock in self.streams:
            sock.close()
        self.poll.close()


def websockets(port, seconds, count=CONNECTIONS):
    """Echoes that `count` WebSockets got, each with one frame of 100 bytes under way at a time."""
    poll, socks, missing, echoes = select.epoll(), {}, {}, 0
    try:
        for _ in range(count):
            sock = connect(port)
            sock.sendall(b"GET /socket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            answer, _ = head(sock)
            if b" 101 " not in answer:
                raise RuntimeError(f"no WebSocket: {answer!r}")
            socks[sock.fileno()] = sock
            poll.register(sock, select.EPOLLIN)
        end = time.monotonic() + seconds
        for fd, sock in socks.items():
            sock.send(FRAME)
            missing[fd] = FRAME_BACK
        while missing:
            ready = poll.poll(5)
            if not ready:
                raise RuntimeError("no echo for 5 s")
            going_on = time.monotonic() < end
            for fd, _ in ready:
                size = len(socks[fd].recv(4096))
                if not size:
                    raise RuntimeError("a WebSocket was closed")
                missing[fd] -= size
                if missing[fd]:
                    continue
                echoes += 1
                if going_on:
                    socks[fd].send(FRAME)
                    missing[fd] = FRAME_BACK
                else:
                    del missing[fd]
        return echoes
    finally:
        poll.close()
        for sock in socks.values():
            sock.close()


def open_loop(port, rate, seconds, connections=200, seed=1):
    """Times until the answer, in µs, of requests that are sent at `rate` per second, come what may.

    They arrive by chance (exponential gaps, the same ones for every proxy). The time counts from when
    a request was due, so that one that had to wait for a free connection, or for us, is not flattered.
    """
    chance, due, at = random.Random(seed), [], 0.0
    while at < seconds:
        at += chance.expovariate(rate)
        due.append(at)
    request = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n"
    poll, socks, times, busy = select.epoll(), {}, [], {}
    LIBC.prctl(PR_SET_TIMERSLACK, 1)
    gc.collect()
    gc.disable()
    try:
        for _ in range(connections):
            sock = connect(port)
            sock.sendall(request)
            while not sock.recv(65536).endswith(b"}"):
                pass
            sock.setblocking(False)
            socks[sock.fileno()] = sock
            poll.register(sock, select.EPOLLIN)
        free, begun, index, clock = list(socks), time.perf_counter(), 0, time.perf_counter
        while index < len(due) or busy:
            now = clock() - begun
            while index < len(due) and due[index] <= now and free:
                fd = free.pop()
                socks[fd].send(request)
                busy[fd] = due[index]
                index += 1
            wait = max(0.0, due[index] - (clock() - begun)) if index < len(due) and free else 1
            # Python's epoll waits for whole milliseconds, select for microseconds.
            select.select([poll], [], [], wait)
            for fd, _ in poll.poll(0):
                if not socks[fd].recv(65536).endswith(b"}"):
                    raise RuntimeError("an answer came in pieces or was cut off")
                times.append((clock() - begun - busy.pop(fd)) * 1e6)
                free.append(fd)
        return times
    finally:
        gc.enable()
        poll.close()
        for sock in socks.values():
            sock.close()
