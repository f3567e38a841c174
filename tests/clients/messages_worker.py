"""A worker that speaks the Anthropic API, for the check of that client. Like an engine, it takes a while to load."""

import http.server
import json
import os
import time

WORDS = ["A ", "penstock ", "feeds ", "turbines."]


class Worker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/messages/count_tokens":
            return self.answer({"input_tokens": len(WORDS)})
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": asked["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 0},
        }
        if not asked.get("stream"):
            message["content"] = [{"type": "text", "text": "".join(WORDS)}]
            message["stop_reason"] = "end_turn"
            return self.answer(message)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.event("message_start", message=message)
        self.event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for word in WORDS:
            delta = {"type": "text_delta", "text": word}
            self.event("content_block_delta", index=0, delta=delta)
        self.event("content_block_stop", index=0)
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        self.event("message_delta", delta=delta, usage={"output_tokens": len(WORDS)})
        self.event("message_stop")

    def event(self, kind, **members):
        data = json.dumps({"type": kind, **members})
        self.wfile.write(f"event: {kind}\ndata: {data}\n\n".encode())
        self.wfile.flush()

    def answer(self, body):
        body = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


time.sleep(1)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Worker).serve_forever()
