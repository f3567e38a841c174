"""The websockets library, whose frames and closing differ from aiohttp's."""

import asyncio
import unittest

import websockets

from penstock import Penstock


class Websockets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.url = cls.enterClassContext(Penstock()).url.replace("http://", "ws://") + "/ws"

    def test_texts_bytes_and_pieces_come_back(self):
        async def talk():
            async with websockets.connect(self.url, max_size=None) as socket:
                for message in ["hello", "", "ä" * 1000, b"\x00\xff", b"x" * 3_000_000]:
                    await socket.send(message)
                    self.assertEqual(await socket.recv(), message)
                await socket.send(["in ", "three ", "pieces"])
                self.assertEqual(await socket.recv(), "in three pieces")
                await (await socket.ping())

        asyncio.run(talk())

    def test_the_code_of_closing_comes_back(self):
        async def close():
            socket = await websockets.connect(self.url)
            await socket.close(code=4321, reason="enough")
            return socket.close_code, socket.close_reason

        self.assertEqual(asyncio.run(close()), (4321, "enough"))

    def test_fifty_sockets_at_once(self):
        async def talk(number):
            async with websockets.connect(self.url) as socket:
                await socket.send(str(number))
                return await socket.recv()

        async def all_at_once():
            # One after the other waits for its turn: a worker has 20 places, two workers 40.
            return await asyncio.gather(*(talk(number) for number in range(50)))

        self.assertEqual(asyncio.run(all_at_once()), [str(number) for number in range(50)])


if __name__ == "__main__":
    unittest.main()
