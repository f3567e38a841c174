"""OpenAI's and Anthropic's own clients at the front door, unchanged, with everything at zero."""

import pathlib
import sys
import unittest

import anthropic
import openai

from penstock import Penstock

WORKER = pathlib.Path(__file__).with_name("messages_worker.py")

CONFIG = f"""
listeners = [{{ address = "127.0.0.1:0" }}]
admin = {{ address = "127.0.0.1:0" }}
gpus = {{ devices = [] }}

[services.chat]
models = ["demo", {{ name = "gpt-4o-mini", upstream = "demo" }}]
queue = {{ begin_stream_after = "100ms" }}

[services.chat.deployments.stable]
max_concurrency = 20
process = {{ command = ["PENSTOCK", "worker", "--load-time", "1s", "--tokens-per-second", "200"] }}
probes.ready = {{ http = "/health" }}
scaling = {{ min = 0, max = 2 }}

[services.messages]
models = [{{ name = "claude-local", upstream = "small", set = {{ max_tokens = 64 }} }}]
queue = {{ begin_stream_after = "100ms" }}

[services.messages.deployments.stable]
process = {{ command = ["{sys.executable}", "{WORKER}"] }}
probes.ready = {{ http = "/health" }}
scaling = {{ min = 0, max = 1 }}

[services.slow]
models = ["slow"]
queue = {{ begin_stream_after = "100ms", max_wait = "1s" }}

[services.slow.deployments.stable]
process = {{ command = ["PENSTOCK", "worker", "--load-time", "60s"] }}
probes.ready = {{ http = "/health" }}
scaling = {{ min = 0, max = 1 }}

[services.breaks]
models = ["breaks"]

[services.breaks.deployments.stable]
process = {{ command = ["PENSTOCK", "worker", "--model", "breaks", "--load-time", "0s", "--break-after", "5"] }}
probes.ready = {{ http = "/health" }}
scaling = {{ min = 0, max = 1 }}

[services.limited]
models = ["limited"]
limits = [{{ requests = 1, period = "1h" }}]

[services.limited.deployments.stable]
process = {{ command = ["no-such-program"] }}
scaling = {{ min = 0, max = 1 }}
"""

MESSAGES = [{"role": "user", "content": "Explain turbines please"}]


class FrontDoor(unittest.TestCase):
    def setUp(self):
        self.penstock = self.enterContext(Penstock(CONFIG))
        self.url = self.penstock.url.replace("//chat.", "//api.")
        self.openai = openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)
        self.anthropic = anthropic.Anthropic(base_url=self.url, api_key="none", max_retries=0)

    def chat(self, model="gpt-4o-mini", **more):
        return self.openai.chat.completions.create(model=model, messages=MESSAGES, **more)

    def message(self, model="claude-local", **more):
        return self.anthropic.messages.create(
            model=model, messages=MESSAGES, max_tokens=100, **more
        )

    def test_plain_answers_from_zero(self):
        self.assertIn("turbines", self.chat().choices[0].message.content)
        answer = self.message()
        self.assertIn("turbines", answer.content[0].text)
        self.assertEqual(answer.model, "small")

    def test_streams_from_zero(self):
        stream = self.chat(stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        self.assertIn("turbines", text)
        with self.anthropic.messages.stream(
            model="claude-local", messages=MESSAGES, max_tokens=100
        ) as stream:
            self.assertIn("turbines", "".join(stream.text_stream))

    def test_a_stream_that_has_begun_tells_what_fails(self):
        with self.assertRaises(openai.APIError) as raised:
            list(self.chat("slow", stream=True))
        self.assertEqual(raised.exception.code, "queue_timeout")
        with self.assertRaises(anthropic.APIStatusError) as raised:
            list(self.message("slow", stream=True))
        self.assertEqual(raised.exception.body["error"]["type"], "timeout_error")

    def test_a_stream_that_breaks_is_an_error_and_no_answer(self):
        # At the front door, and at the service's own host, which is served by another engine.
        for url in [self.url, self.url.replace("//api.", "//breaks.")]:
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            chat = client.chat.completions.create(model="breaks", messages=MESSAGES, stream=True)
            response = client.responses.create(model="breaks", input="Explain", stream=True)
            for stream in [chat, response]:
                with self.assertRaises(openai.APIError) as raised:
                    list(stream)
                self.assertEqual(raised.exception.code, "upstream_reset")
            client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
            stream = client.messages.create(
                model="breaks", messages=MESSAGES, max_tokens=100, stream=True
            )
            with self.assertRaises(anthropic.APIStatusError) as raised:
                list(stream)
            self.assertEqual(raised.exception.body["error"]["type"], "api_error")

    def test_usage_is_told_to_those_who_ask(self):
        usages = [chunk.usage for chunk in self.chat(stream=True) if chunk.usage]
        self.assertEqual(usages, [])
        options = {"include_usage": True}
        chunks = list(self.chat(stream=True, stream_options=options))
        usage = chunks[-1].usage
        self.assertEqual((chunks[-1].choices, usage.prompt_tokens), ([], 3))
        response = self.openai.responses.create(model="demo", input="Explain turbines please")
        self.assertEqual(response.usage.output_tokens, usage.completion_tokens)

    def test_models_are_listed_without_waking_anybody(self):
        models = self.openai.models.list()
        names = ["breaks", "demo", "gpt-4o-mini", "limited", "claude-local", "slow"]
        self.assertEqual([model.id for model in models], names)
        self.assertEqual({model.penstock["state"] for model in models}, {"cold"})
        self.assertEqual(self.openai.models.retrieve("demo").id, "demo")
        pages = self.anthropic.models.list(limit=2)
        self.assertEqual([model.id for model in pages], names)
        self.assertEqual(self.anthropic.models.retrieve("claude-local").type, "model")
        self.assertEqual({model.penstock["state"] for model in self.openai.models.list()}, {"cold"})

    def test_other_calls(self):
        embeddings = self.openai.embeddings.create(model="demo", input=["water"])
        self.assertEqual(len(embeddings.data), 1)
        counted = self.anthropic.messages.count_tokens(model="claude-local", messages=MESSAGES)
        self.assertEqual(counted.input_tokens, 4)
        azure = openai.AzureOpenAI(
            base_url=f"{self.url}/openai/deployments/gpt-4o-mini",
            api_key="none",
            api_version="2024-10-21",
        )
        answer = azure.chat.completions.create(model="whatever", messages=MESSAGES)
        self.assertEqual(answer.model, "demo")

    def test_an_unknown_model_is_told_with_those_that_are_near(self):
        with self.assertRaises(openai.NotFoundError) as raised:
            self.chat("gpt-4o-mimi")
        self.assertEqual(raised.exception.code, "model_not_found")
        self.assertEqual(raised.exception.param, "model")
        self.assertIn("gpt-4o-mini", raised.exception.message)
        with self.assertRaises(anthropic.NotFoundError) as raised:
            self.message("claude-locl")
        error = raised.exception.body["error"]
        self.assertEqual(error["type"], "not_found_error")
        self.assertIn("claude-local", error["message"])
        self.assertTrue(raised.exception.request_id)

    def test_failures_of_the_gateway_are_understood(self):
        with self.assertRaises(openai.InternalServerError) as raised:
            self.chat("limited")
        self.assertEqual(raised.exception.code, "start_failed")
        with self.assertRaises(openai.RateLimitError) as raised:
            self.chat("limited")
        self.assertEqual(raised.exception.code, "rate_limited")
        with self.assertRaises(anthropic.RateLimitError):
            self.message("limited")


if __name__ == "__main__":
    unittest.main()
