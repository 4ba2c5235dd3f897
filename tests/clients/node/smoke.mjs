// What an application does with the official SDK, told as one JSON line; smoke.py beside it, in Node.
// Usage: BASE_URL=... KEY=... node smoke.mjs [CHECK...]. `leave` ends the list: it leaves a stream, says so, and waits.

import OpenAI from "openai";
import { VERSION } from "openai/version";

const CHAT = {
  model: process.env.MODEL ?? "gpt-5-mini",
  messages: [{ role: "user", content: "What is 2+2?" }],
  temperature: 0,
  max_tokens: 24,
};
const WEATHER = { type: "function", function: { name: "get_weather", parameters: { type: "object" } } };
const SCHEMA = { name: "weather", strict: true, schema: { type: "object", properties: {}, additionalProperties: false } };
const REFUSED = {
  400: { model: "gpt-5-mini", temperature: 3 },
  404: { model: "gpt-9" },
  422: { model: "status-422" },
  429: { model: "status-429" },
  500: { model: "status-500" },
};

const settings = { baseURL: process.env.BASE_URL, apiKey: process.env.KEY, maxRetries: 0 };
const client = new OpenAI(settings);
const stranger = new OpenAI({ ...settings, apiKey: "sk-of-nobody-at-all-0123456789" });

const create = (more, options) => client.chat.completions.create({ ...CHAT, ...more }, options);
const called = (message) => message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);

async function gathered(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const checks = {
  async chat() {
    const reply = await create();
    const [choice] = reply.choices;
    return { text: choice.message.content, finish: choice.finish_reason, usage: Boolean(reply.usage) };
  },

  async async_chat() {
    const [reply, chunks] = await Promise.all([create(), create({ stream: true }).then(gathered)]);
    const text = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
    return [reply.choices[0].message.content, text];
  },

  async stream() {
    const chunks = await gathered(await create({ stream: true }));
    const metered = await gathered(await create({ stream: true, stream_options: { include_usage: true } }));
    const last = metered.at(-1);
    return {
      text: chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""),
      usage: chunks.map((chunk) => chunk.usage).filter(Boolean),
      last: [last.choices.length, last.usage?.total_tokens],
    };
  },

  async stream_helper() {
    return client.chat.completions.stream(CHAT).finalContent();
  },

  async tools() {
    const whole = await create({ tools: [WEATHER] });
    const streamed = await client.chat.completions.stream({ ...CHAT, tools: [WEATHER] }).finalMessage();
    return [...called(whole.choices[0].message), ...called(streamed)];
  },

  async structured() {
    const reply = await create({ response_format: { type: "json_schema", json_schema: SCHEMA } });
    return JSON.parse(reply.choices[0].message.content);
  },

  async embeddings() {
    const reply = await client.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"] });
    return reply.data.map((each) => Array.from(each.embedding));
  },

  async completion() {
    return (await client.completions.create({ model: "gpt-5-mini", prompt: "Hi" })).choices[0].text;
  },

  async responses() {
    const whole = await client.responses.create({ model: "gpt-5-mini", input: "Hi" });
    const streamed = await client.responses.stream({ model: "gpt-5-mini", input: "Hi" }).finalResponse();
    return [whole.output_text, streamed.output_text];
  },

  async models() {
    return [(await client.models.list()).data[0].id, (await client.models.retrieve("gpt-5-mini")).id];
  },

  async request_id() {
    const { data, response, request_id } = await create().withResponse();
    const shown = new Set([request_id, data._request_id, response.headers.get("x-request-id")]);
    const header = (name) => response.headers.get(`x-pointsman-${name}`);
    return [shown.size, request_id.slice(0, 4), header("deployment"), header("attempts")];
  },

  async errors() {
    const found = {};
    for (const [name, ask] of Object.entries({ 401: CHAT, ...REFUSED })) {
      try {
        await (name === "401" ? stranger : client).chat.completions.create({ ...CHAT, ...ask });
      } catch (error) {
        const told = [error.status, error.code, error.type, error.param, error.requestID?.slice(0, 4)];
        found[name] = [error.constructor.name, ...told];
      }
    }
    return found;
  },

  async broken_stream() {
    try {
      await gathered(await create({ model: "breaks-off", stream: true }));
    } catch (error) {
      return error instanceof OpenAI.APIConnectionError ? "a lost connection" : error.code;
    }
    return "taken for a success";
  },

  async versions() {
    return [VERSION, process.versions.node];
  },
};

async function leave() {
  const stream = await create({ model: "endless", stream: true });
  for await (const _ of stream) break;
  stream.controller.abort();
  console.log("left");
  await gathered(process.stdin);
}

const asked = process.argv.slice(2);
const named = asked.filter((name) => name !== "leave");
const report = {};
for (const name of named.length ? named : Object.keys(checks)) report[name] = await checks[name]();
console.log(JSON.stringify(report));
if (asked.includes("leave")) await leave();
