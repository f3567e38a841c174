// What OpenAI's client for Node makes of errors: prints one JSON object per call.
// Arguments: the base URL of every service to be asked.

const { OpenAI, APIError } = require("openai");
const { VERSION } = require("openai/version");

const messages = [{ role: "user", content: "hello" }];

async function main() {
    for (const url of process.argv.slice(2)) {
        const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "wrong", maxRetries: 0 });
        for (const stream of [false, true]) {
            let seen = { kind: "none" };
            try {
                await client.chat.completions.create({ model: "demo", messages, stream });
            } catch (error) {
                if (!(error instanceof APIError)) throw error;
                const { status, message, code, type, requestID } = error;
                seen = { kind: error.constructor.name, status, message, code, type, id: requestID };
            }
            console.log(JSON.stringify({ version: VERSION, url, stream, ...seen }));
        }
    }
}

main();
