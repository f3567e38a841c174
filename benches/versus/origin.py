#!/usr/bin/env python3
"""A worker for what nginx cannot play: event streams, uploads read to their end, and WebSockets.

    benches/versus/origin.py PORT

One loop without a framework, so that it takes as little as it can of the core that it shares with
the load. The target of a request says what is wanted:

    /events?count=N&gap=MS&burst=N&warm=N   N events, `burst` of them in one write every `gap`
                                            milliseconds; after `warm` of them the stream waits for
                                            a request for /go
    /v1/chat/completions                    20 events 5 ms apart if the body asks for a stream
    /v1/models                              the one model, which routers ask for
    anything else                           a short JSON answer, once the whole body was read

A request with `Upgrade: websocket` is answered 101, and from then on every frame with one of 100
bytes. Frames are counted by their length, not parsed: the load sends all of one length.
"""

import heapq
import random
import re
import select
import socket
import sys
import time

DATA = (b'data: {"id":"chatcmpl-7b1d3f5a9c","object":"chat.completion.chunk","created":1700000000,'
        b'"model":"demo","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}\n\n')
EVENT = b"%x\r\n%s\r\n" % (len(DATA), DATA)
END = b"0\r\n\r\n"
JSON = b'{"id":"x","object":"text_completion","choices":[{"text":"hello world"}]}'
FIELDS = b"Server: bench\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    FIELDS, len(JSON), JSON)
MODELS = b'{"object":"list","data":[{"id":"demo","object":"model","created":1700000000,"owned_by":"bench"}]}'
MODEL_LIST = b"HTTP/1.1 200 OK\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    FIELDS, len(MODELS), MODELS)
STREAM = b"HTTP/1.1 200 OK\r\n%sContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" % FIELDS
SWITCHED = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzhZRbK+xOo0=\r\n\r\n")
FRAME_IN = 6 + 100
FRAME_OUT = b"\x82\x64" + bytes(100)


class Stream:
    """What is still to be sent of one answer."""

    def __init__(self, connection, count, gap, burst, warm):
        self.connection, self.left, self.gap, self.burst = connection, count, gap, burst
        self.warm = warm

    def send(self):
        """Sends one burst; False once there is nothing more to send."""
        count = min(self.burst, self.left)
        self.left -= count
        self.warm -= count
        self.connection.write(EVENT * count + (b"" if self.left else END))
        return self.left > 0


class Connection:
    def __init__(self, origin, sock):
        self.origin, self.sock = origin, sock
        self.head = b""
        self.request = None
        self.missing = 0
        self.body = b""
        self.echo = False
        self.unsent = b""
        self.closed = False

    def write(self, data):
        if self.closed:
            return
        if self.unsent:
            self.unsent += data
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self.unsent = data[sent:]
            self.origin.poll.modify(self.sock, select.EPOLLIN | select.EPOLLOUT)

    def writable(self):
        data, self.unsent = self.unsent, b""
        self.origin.poll.modify(self.sock, select.EPOLLIN)
        self.write(data)

    def close(self):
        if not self.closed:
            self.closed = True
            self.origin.connections.pop(self.sock.fileno(), None)
            self.sock.close()

    def readable(self):
        try:
            size = self.sock.recv_into(self.origin.buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self.close()
        elif self.echo:
            self.frames(size)
        elif self.request and self.missing > size:
            # The middle of a large body: only its length counts.
            self.missing -= size
        else:
            self.received(bytes(self.origin.buffer[:size]))

    def frames(self, size):
        self.missing += size
        frames, self.missing = divmod(self.missing, FRAME_IN)
        if frames:
            self.write(FRAME_OUT * frames)

    def received(self, data):
        while data or (self.request and not self.missing):
            if not self.request:
                self.head += data
                end = self.head.find(b"\r\n\r\n")
                if end < 0:
                    return
                self.request, data, self.head = self.head[:end], self.head[end + 4:], b""
                length = re.search(rb"\r\ncontent-length: *(\d+)", self.request, re.I)
                self.missing = int(length[1]) if length else 0
                self.body = b""
            taken, data = data[:self.missing], data[self.missing:]
            self.missing -= len(taken)
            if len(self.body) < 4096:
                self.body += taken
            if self.missing:
                return
            request, self.request = self.request, None
            self.answer(request, self.body)

    def answer(self, request, body):
        target = request.split(b" ", 2)[1]
        if target == b"/go":
            self.origin.go()
        if re.search(rb"\r\nupgrade: *websocket", request, re.I):
            self.echo = True
            self.write(SWITCHED)
        elif target.startswith(b"/events"):
            wanted = {name: int(value) for name, value in re.findall(rb"(\w+)=(\d+)", target)}
            self.stream(wanted[b"count"], wanted[b"gap"] / 1000, wanted[b"burst"], wanted[b"warm"])
        elif target == b"/v1/models":
            self.write(MODEL_LIST)
        elif target.startswith(b"/v1/chat") and re.search(rb'"stream": ?true', body):
            self.stream(20, 0.005, 1, 20)
        else:
            self.write(ANSWER)

    def stream(self, count, gap, burst, warm):
        self.write(STREAM)
        stream = Stream(self, count, gap, burst, warm)
        if warm:
            self.origin.at(time.monotonic() + gap, stream)
        else:
            self.origin.waiting.append(stream)


class Origin:
    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.poll = select.epoll()
        self.poll.register(self.listener, select.EPOLLIN)
        self.connections = {}
        self.buffer = memoryview(bytearray(1 << 20))
        self.due = []
        self.waiting = []
        self.order = 0
        self.chance = random.Random(1)

    def at(self, when, stream):
        self.order += 1
        heapq.heappush(self.due, (when, self.order, stream))

    def go(self):
        """Lets the streams that wait go on, each at its own moment of the gap."""
        now = time.monotonic()
        for stream in self.waiting:
            self.at(now + self.chance.random() * stream.gap, stream)
        self.waiting.clear()

    def turn(self):
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            when, _, stream = heapq.heappop(self.due)
            waits_next = stream.warm == stream.burst and stream.left > stream.burst
            if not stream.send() or stream.connection.closed:
                continue
            if waits_next:
                self.waiting.append(stream)
            else:
                self.at(when + stream.gap, stream)
        timeout = max(0, self.due[0][0] - time.monotonic()) if self.due else -1
        for fd, happened in self.poll.poll(timeout, 256):
            if fd == self.listener.fileno():
                self.accept()
                continue
            connection = self.connections.get(fd)
            if connection and happened & select.EPOLLOUT:
                connection.writable()
            if connection and not connection.closed and happened & ~select.EPOLLOUT:
                connection.readable()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections[sock.fileno()] = Connection(self, sock)
            self.poll.register(sock, select.EPOLLIN)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    origin = Origin(int(sys.argv[1]))
    while True:
        origin.turn()


if __name__ == "__main__":
    main()
