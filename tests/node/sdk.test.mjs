// The official Node SDK against a running server: BASE_URL, LIVE_KEY and TEST_KEY say which.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const { BASE_URL, LIVE_KEY, TEST_KEY } = process.env;
const connect = (apiKey, options = {}) =>
  new OpenAI({ apiKey, baseURL: BASE_URL, maxRetries: 0, timeout: 30_000, ...options });
const live = connect(LIVE_KEY);
const rehearsal = connect(TEST_KEY);

const TEXT = "The capital of France is Paris.";
const ask = (text, more = {}) => ({
  model: "gpt-4o",
  messages: [{ role: "user", content: text }],
  ...more,
});
const scenario = (name, more = {}) => ask(`scenario:${name}`, more);
const tools = [{
  type: "function",
  function: {
    name: "lookup",
    strict: true,
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
}];

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
const textOf = (chunks) => chunks.map((c) => c.choices[0]?.delta?.content ?? "").join("");

test("chat", async () => {
  const answer = await live.chat.completions.create(ask("What is the capital of France?"));
  assert.equal(answer.choices[0].message.content, TEXT);
  assert.match(answer._request_id, /^req_/);
});

test("stream without usage", async () => {
  const chunks = await collect(await live.chat.completions.create(ask("hi", { stream: true })));
  assert.equal(textOf(chunks), TEXT);
  assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
});

test("stream with usage", async () => {
  const body = ask("hi", { stream: true, stream_options: { include_usage: true } });
  const chunks = await collect(await live.chat.completions.create(body));
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.total_tokens > 0);
  assert.ok(chunks.slice(0, -1).every((chunk) => !chunk.usage));
});

test("stream helper", async () => {
  const answer = await live.chat.completions.stream(ask("hi")).finalChatCompletion();
  assert.equal(answer.choices[0].message.content, TEXT);
  assert.equal(answer.choices[0].message.role, "assistant");
  assert.equal(answer.choices[0].finish_reason, "stop");
});

test("stream helper on a mended provider", async () => {
  const body = ask("hi", { model: "local-small" });
  const answer = await live.chat.completions.stream(body).finalChatCompletion();
  assert.equal(answer.choices[0].message.content, TEXT);
});

test("tools", async () => {
  const answer = await live.chat.completions.create(scenario("tools_parallel", { tools }));
  const calls = answer.choices[0].message.tool_calls;
  assert.equal(answer.choices[0].finish_reason, "tool_calls");
  assert.deepEqual(calls.map((c) => JSON.parse(c.function.arguments).city), ["Paris", "Łódź"]);
});

test("streamed tools with strict schemas", async () => {
  for (const model of ["gpt-4o", "local-small"]) {
    const body = scenario("tools_parallel", { tools, model });
    const answer = await live.chat.completions.stream(body).finalChatCompletion();
    const calls = answer.choices[0].message.tool_calls;
    assert.deepEqual(calls.map((c) => c.function.name), ["lookup", "lookup"]);
    assert.deepEqual(calls.map((c) => JSON.parse(c.function.arguments).city), ["Paris", "Łódź"]);
  }
});

test("two streamed choices", async () => {
  const answer = await live.chat.completions.stream(ask("hi", { n: 2 })).finalChatCompletion();
  assert.deepEqual(answer.choices.map((c) => c.message.content), [TEXT, TEXT]);
});

test("unicode cut between bytes", async () => {
  const whole = await live.chat.completions.create(scenario("unicode"));
  const chunks = await collect(
    await live.chat.completions.create(scenario("unicode", { stream: true })),
  );
  assert.equal(textOf(chunks), whole.choices[0].message.content);
});

test("structured output", async () => {
  const schema = {
    type: "object",
    properties: { city: { type: "string" }, population: { type: "integer" } },
    required: ["city", "population"],
    additionalProperties: false,
  };
  const response_format = { type: "json_schema", json_schema: { name: "x", strict: true, schema } };
  for (const client of [live, rehearsal]) {
    const answer = await client.chat.completions.parse(ask("hi", { response_format }));
    const parsed = JSON.parse(answer.choices[0].message.content);
    assert.equal(typeof parsed.city, "string");
    assert.ok(Number.isInteger(parsed.population));
  }
});

test("models", async () => {
  const ids = [];
  for await (const model of live.models.list()) ids.push(model.id);
  assert.ok(ids.includes("gpt-4o") && ids.includes("acme/llama-4:8b"));
  assert.equal((await live.models.retrieve("acme/llama-4:8b")).id, "acme/llama-4:8b");
  await assert.rejects(live.models.retrieve("no-such/model"), OpenAI.NotFoundError);
});

test("images", async () => {
  const answer = await rehearsal.images.generate({ model: "dall-e-3", prompt: "A cat" });
  const picture = await fetch(answer.data[0].url);
  assert.equal(picture.headers.get("content-type"), "image/png");
  assert.equal(Buffer.from(await picture.arrayBuffer()).subarray(1, 4).toString(), "PNG");
});

test("error classes", async () => {
  const cases = [
    [live, ask("hi", { temperature: 3 }), OpenAI.BadRequestError, "decimal_above_max_value"],
    [live, ask("hi", { model: "no-such" }), OpenAI.NotFoundError, "model_not_found"],
    [connect("wrong"), ask("hi"), OpenAI.AuthenticationError, "invalid_api_key"],
    [rehearsal, ask("test:429"), OpenAI.RateLimitError, "rate_limit_exceeded"],
    [rehearsal, ask("test:500"), OpenAI.InternalServerError, "internal_error"],
    [live, scenario("error_first:500"), OpenAI.InternalServerError, "provider_unavailable"],
    [live, scenario("html_200"), OpenAI.InternalServerError, "provider_unavailable"],
  ];
  for (const [client, body, type, code] of cases) {
    const error = await client.chat.completions.create(body).then(
      () => assert.fail(`${code} expected`), (e) => e);
    assert.ok(error instanceof type, `${code}: ${error}`);
    assert.equal(error.code, code);
    assert.ok(error.type && error.requestID.startsWith("req_"));
    assert.doesNotMatch(error.message, /no body/);
  }
});

test("broken stream throws", async () => {
  for (const model of ["gpt-4o", "local-small"]) {
    for (const name of ["error_mid", "cut_mid", "cut_clean"]) {
      const stream = await live.chat.completions.create(scenario(name, { stream: true, model }));
      const error = await collect(stream).then(() => assert.fail(name), (e) => e);
      assert.ok(error instanceof OpenAI.APIError, String(error));
      assert.equal(error.code, "provider_unavailable");
      assert.match(error.requestID, /^req_/);
    }
  }
});

test("request id and promised headers", async () => {
  const { data, response, request_id } =
    await live.chat.completions.create(ask("hi")).withResponse();
  assert.equal(data._request_id, request_id);
  for (const name of ["limit", "remaining", "reset"]) {
    assert.match(response.headers.get(`x-ratelimit-${name}-requests`), /^\d+$/);
  }
});

test("retries after a failure", async () => {
  const seen = [];
  const client = connect(TEST_KEY, {
    maxRetries: 2,
    fetch: async (url, init) => {
      const body = JSON.parse(init.body);
      if (seen.length === 0) body.messages[0].content = "test:429";
      const response = await fetch(url, { ...init, body: JSON.stringify(body) });
      seen.push(response.status);
      return response;
    },
  });
  await client.chat.completions.create(ask("hi"));
  assert.deepEqual(seen, [429, 200]);
});

test("client-side timeout", async () => {
  await assert.rejects(
    live.chat.completions.create(scenario("slow_first:20"), { timeout: 500 }),
    OpenAI.APIConnectionTimeoutError,
  );
});
