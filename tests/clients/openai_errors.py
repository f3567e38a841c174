"""What OpenAI's client for Python makes of errors: prints one JSON object per call.

Arguments: the base URL of every service to be asked."""

import json
import sys

import openai

MESSAGES = [{"role": "user", "content": "hello"}]

for url in sys.argv[1:]:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0)
    for stream in (False, True):
        try:
            client.chat.completions.create(model="demo", messages=MESSAGES, stream=stream)
            seen = {"kind": "none"}
        except openai.APIStatusError as error:
            seen = {
                "kind": type(error).__name__,
                "status": error.status_code,
                "message": error.message,
                "code": error.code,
                "type": error.type,
                "id": error.request_id,
            }
        print(json.dumps({"version": openai.__version__, "url": url, "stream": stream, **seen}))
