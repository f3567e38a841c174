"""OpenAI's own client for Python."""

import unittest

import openai

from penstock import Penstock

MESSAGES = [{"role": "user", "content": "Explain turbines please"}]


class OpenAiClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.penstock = cls.enterClassContext(Penstock())
        cls.client = openai.OpenAI(base_url=f"{cls.penstock.url}/v1", api_key="none")

    def test_the_first_request_waits_for_the_cold_start(self):
        with Penstock() as penstock:
            client = openai.OpenAI(base_url=f"{penstock.url}/v1", api_key="none", max_retries=0)
            answer = client.chat.completions.create(model="demo", messages=MESSAGES)
            self.assertIn("turbines", answer.choices[0].message.content)

    def test_a_streamed_answer_is_the_same_as_a_whole_one(self):
        chat = self.client.chat.completions
        whole = chat.create(model="demo", messages=MESSAGES)
        stream = chat.create(
            model="demo", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        text, usage = "", None
        for chunk in stream:
            usage = chunk.usage or usage
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)

    def test_a_stream_can_be_left_in_the_middle(self):
        for _ in range(5):
            stream = self.client.chat.completions.create(
                model="demo", messages=MESSAGES, stream=True
            )
            next(iter(stream))
            stream.close()

    def test_completions_embeddings_and_models(self):
        completion = self.client.completions.create(model="demo", prompt="hello", max_tokens=5)
        self.assertEqual(completion.usage.completion_tokens, 5)
        embeddings = self.client.embeddings.create(model="demo", input=["water", "steam"])
        self.assertEqual([len(item.embedding) for item in embeddings.data], [384, 384])
        self.assertEqual([model.id for model in self.client.models.list()], ["demo"])

    def test_errors_of_a_worker_keep_their_form(self):
        with self.assertRaises(openai.NotFoundError) as raised:
            self.client.chat.completions.create(model="other", messages=MESSAGES)
        self.assertEqual(raised.exception.code, "model_not_found")

    def test_errors_of_the_gateway_are_understood(self):
        url = self.penstock.url.replace("//chat.", "//nobody.")
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        with self.assertRaises(openai.NotFoundError) as raised:
            client.models.list()
        self.assertEqual(raised.exception.response.headers["x-penstock-reason"], "no_route")


if __name__ == "__main__":
    unittest.main()
