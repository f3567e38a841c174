"""gRPC's own C core on both sides of the gateway."""

import concurrent.futures
import threading
import unittest

import grpc

from penstock import Penstock

CONFIG = """
listeners = [{ address = "127.0.0.1:0" }]
admin = { address = "127.0.0.1:0" }
gpus = { devices = [] }

[services.echo]
protocol = "h2"
deployments.main.static = { addresses = ["127.0.0.1:WORKER"] }
"""


class Worker(grpc.GenericRpcHandler):
    """A server whose messages are plain bytes."""

    def __init__(self):
        self.cancelled = threading.Event()

    def service(self, details):
        return {
            "/echo/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/echo/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/echo/Hang": grpc.unary_unary_rpc_method_handler(self.hang),
            "/echo/Down": grpc.unary_stream_rpc_method_handler(self.down),
            "/echo/Up": grpc.stream_unary_rpc_method_handler(self.up),
            "/echo/Both": grpc.stream_stream_rpc_method_handler(self.both),
        }.get(details.method)

    def unary(self, request, context):
        for key, value in context.invocation_metadata():
            if key == "x-word":
                context.send_initial_metadata([("x-head", value)])
                context.set_trailing_metadata([("x-tail-bin", value.encode() + b"\0")])
        return request

    def fail(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today, ü")

    def hang(self, request, context):
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(30)
        return request

    def down(self, request, context):
        for number in range(int(request)):
            yield b"%d" % number

    def up(self, requests, context):
        return b"%d" % sum(len(request) for request in requests)

    def both(self, requests, context):
        yield from requests


class GrpcClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker()
        server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(8),
            handlers=[cls.worker],
            options=[("grpc.max_receive_message_length", -1)],
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        cls.addClassCleanup(lambda: server.stop(None).wait())
        penstock = cls.enterClassContext(Penstock(CONFIG.replace("WORKER", str(port))))
        cls.address = penstock.address
        cls.channel = cls.enterClassContext(
            grpc.insecure_channel(
                penstock.address,
                options=[
                    ("grpc.default_authority", "echo.local.localhost"),
                    ("grpc.max_receive_message_length", -1),
                    ("grpc.enable_retries", 0),
                ],
            )
        )

    def test_metadata_goes_both_ways(self):
        for size in [0, 10, 5_000_000]:
            answer, call = self.channel.unary_unary("/echo/Unary").with_call(
                b"x" * size, metadata=[("x-word", "steam")]
            )
            self.assertEqual(len(answer), size)
            self.assertIn(("x-head", "steam"), call.initial_metadata())
            self.assertIn(("x-tail-bin", b"steam\0"), call.trailing_metadata())

    def test_streams_of_all_forms(self):
        down = self.channel.unary_stream("/echo/Down")(b"1000")
        self.assertEqual([int(message) for message in down], list(range(1000)))
        up = self.channel.stream_unary("/echo/Up")
        self.assertEqual(up(iter([b"x" * 10_000] * 300)), b"3000000")
        both = self.channel.stream_stream("/echo/Both")
        self.assertEqual(list(both(iter([b"a", b"", b"c" * 100_000]))), [b"a", b"", b"c" * 100_000])

    def test_a_talk_in_turns(self):
        heard = threading.Semaphore(0)

        def words():
            for number in range(20):
                yield b"%d" % number
                self.assertTrue(heard.acquire(timeout=30))

        for number, answer in enumerate(self.channel.stream_stream("/echo/Both")(words())):
            self.assertEqual(answer, b"%d" % number)
            heard.release()

    def test_an_error_of_the_worker_keeps_its_words(self):
        with self.assertRaises(grpc.RpcError) as raised:
            self.channel.unary_unary("/echo/Fail")(b"")
        self.assertEqual(raised.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertEqual(raised.exception.details(), "not today, ü")

    def test_a_deadline_ends_the_call_at_the_worker_too(self):
        self.worker.cancelled.clear()
        with self.assertRaises(grpc.RpcError) as raised:
            self.channel.unary_unary("/echo/Hang")(b"", timeout=0.3)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertTrue(self.worker.cancelled.wait(10))

    def test_a_service_that_is_not_there_is_unimplemented(self):
        options = [("grpc.default_authority", "nobody.local.localhost")]
        with grpc.insecure_channel(self.address, options) as channel:
            with self.assertRaises(grpc.RpcError) as raised:
                channel.unary_unary("/echo/Unary")(b"")
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        # An answer that is trailers only has all its metadata there.
        self.assertIn(("x-penstock-reason", "no_route"), raised.exception.trailing_metadata())


if __name__ == "__main__":
    unittest.main()
