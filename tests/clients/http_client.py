"""General HTTP clients: requests, httpx over both versions of HTTP, aiohttp with WebSockets."""

import asyncio
import unittest

import aiohttp
import httpx
import requests

from penstock import Penstock

BODY = bytes(range(256)) * 4096


class HttpClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.url = cls.enterClassContext(Penstock()).url

    def test_requests_over_one_connection(self):
        with requests.Session() as session:
            for _ in range(20):
                answer = session.post(f"{self.url}/echo", data=BODY)
                self.assertEqual((answer.status_code, answer.content == BODY), (200, True))

    def test_requests_with_a_chunked_body(self):
        answer = requests.post(f"{self.url}/echo", data=(BODY[:1000] for _ in range(50)))
        self.assertEqual(len(answer.content), 50_000)

    def test_httpx_over_both_versions(self):
        for options, version in [({}, "HTTP/1.1"), ({"http1": False, "http2": True}, "HTTP/2")]:
            with httpx.Client(**options) as client:
                for _ in range(5):
                    answer = client.post(f"{self.url}/echo", content=BODY)
                    self.assertEqual((answer.http_version, answer.content == BODY), (version, True))

    def test_aiohttp_with_many_requests_at_once(self):
        async def ask(session):
            async with session.post(f"{self.url}/echo", data=BODY[:5000]) as answer:
                return answer.status, len(await answer.read())

        async def all_at_once():
            # On this machine's name, which aiohttp's own resolver may not know.
            connector = aiohttp.TCPConnector(limit=0, resolver=aiohttp.ThreadedResolver())
            async with aiohttp.ClientSession(connector=connector) as session:
                return await asyncio.gather(*(ask(session) for _ in range(200)))

        self.assertEqual(set(asyncio.run(all_at_once())), {(200, 5000)})

    def test_an_aiohttp_websocket(self):
        async def talk():
            connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())
            async with aiohttp.ClientSession(connector=connector) as session:
                async with session.ws_connect(f"{self.url}/ws", max_msg_size=0) as socket:
                    for message in ["hello", "x" * 1_000_000]:
                        await socket.send_str(message)
                        self.assertEqual(await socket.receive_str(), message)
                    await socket.ping()
                    await socket.close(code=4000)
                    return socket.close_code

        self.assertEqual(asyncio.run(talk()), 4000)


if __name__ == "__main__":
    unittest.main()
