// What people do with OpenAI's Node SDK, where another provider's model answers; see driver.mjs, and
// tests/api/translated_core.py, which is the same in Python.
import OpenAI from "openai";
import { baseUrl, collect, key, main, model, words } from "./driver.mjs";

const client = new OpenAI({ apiKey: key, baseURL: baseUrl, maxRetries: 0, timeout: 30_000 });
const completions = client.chat.completions;
const say = (word) => [{ role: "user", content: words[word] }];
const said = (content) => [{ role: "user", content }];
const ask = (messages, options = {}) => completions.create({ model, messages, ...options });
const whole = async (messages, options) => (await ask(messages, options)).choices[0].message;
const streamed = (messages, options = {}) =>
  completions.stream({ model, messages, ...options }).finalMessage();
const usageOf = (usage) => usage && {
  input: usage.prompt_tokens,
  output: usage.completion_tokens,
  total: usage.total_tokens,
};

// ------------------------------------------------------------------------- tools

const tools = [
  {
    type: "function",
    function: {
      name: "lookup",
      description: "Looks a city up.",
      parameters: {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"],
        additionalProperties: false,
      },
      strict: true,
    },
  },
  { type: "function", function: { name: "now", description: "Tells the time." } },
];

/** Call what the model wants called, and tell it the results, as every sample does. */
async function loop(word, send, options = {}) {
  const messages = say(word);
  const made = [];
  let message = await send(messages, { tools, ...options });
  if (message.tool_calls?.length) {
    const { role, content, tool_calls } = message;
    messages.push({ role, content, tool_calls });
    for (const call of tool_calls) {
      made.push([call.function.name, JSON.parse(call.function.arguments).city ?? null]);
      const result = `${made.at(-1)[1]} is large`;
      messages.push({ role: "tool", tool_call_id: call.id, content: result });
    }
    message = await send(messages, { tools, ...options });
  }
  return { made, text: message.content };
}

// ------------------------------------------------------------------------- shapes

const place = {
  type: "object",
  properties: { name: { type: "string" }, population: { type: "integer" } },
  required: ["name", "population"],
  additionalProperties: false,
};
const city = {
  type: "object",
  properties: {
    name: { type: "string" },
    size: { type: "string", enum: ["small", "large"] },
    tags: { type: "array", items: { type: "string" } },
    inner: { $ref: "#/$defs/place" },
    nickname: { type: ["string", "null"] },
  },
  required: ["name", "size", "tags", "inner", "nickname"],
  additionalProperties: false,
  $defs: { place },
};

// ------------------------------------------------------------------------- failures

async function failure(call) {
  let text = "";
  try {
    const answer = await call();
    if (answer[Symbol.asyncIterator]) {
      for await (const chunk of answer) text += chunk.choices[0]?.delta?.content ?? "";
    }
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    const { code, type, param = null, status = null, message } = error;
    return { class: error.constructor.name, code, type, param, status, message, text };
  }
  return { class: null, text };
}

/** Of a whole answer, and of a stream. */
const failures = async (messages, options = {}) => [
  await failure(() => ask(messages, options)),
  await failure(() => ask(messages, { stream: true, ...options })),
];

// ------------------------------------------------------------------------- the cases

await main("openai", {
  async create() {
    const done = await ask(say("hello"));
    const [choice] = done.choices;
    return {
      text: choice.message.content,
      role: choice.message.role,
      finish: choice.finish_reason,
      model: done.model,
      usage: usageOf(done.usage),
      request_id: done._request_id,
    };
  },
  async stream() {
    const options = { stream: true, stream_options: { include_usage: true } };
    const found = await collect(ask(say("hello"), options));
    const choices = found.flatMap((chunk) => chunk.choices);
    return {
      texts: choices.map((choice) => choice.delta.content ?? ""),
      finishes: choices.flatMap((choice) => choice.finish_reason ?? []),
      usages: found.flatMap((chunk) => usageOf(chunk.usage) ?? []),
      ids: [...new Set(found.map((chunk) => chunk.id))],
      is_last_without_choices: found.at(-1).choices.length === 0,
    };
  },
  async unicode() {
    return [(await whole(say("unicode"))).content, (await streamed(say("unicode"))).content];
  },
  async conversation() {
    const messages = [{ role: "system", content: "Be brief." }, ...say("hello")];
    messages.push({ role: "assistant", content: (await whole(messages)).content });
    return (await whole([...messages, ...say("again")])).content;
  },
  async image() {
    const content = [
      { type: "text", text: words.image },
      { type: "image_url", image_url: { url: `data:image/png;base64,${words.png}` } },
    ];
    return (await whole([{ role: "user", content }])).content;
  },
  async parse() {
    const json_schema = { name: "city", strict: true, schema: city };
    const response_format = { type: "json_schema", json_schema };
    return JSON.parse((await whole(say("schema"), { response_format })).content);
  },
  json_object: async () =>
    (await whole(say("json"), { response_format: { type: "json_object" } })).content,
  async knobs() {
    const options = {
      temperature: 0.5, max_tokens: 2048, stop: ["zzz"], seed: 7, user: "somebody",
      presence_penalty: 0.5,
    };
    return (await whole(say("hello"), options)).content;
  },
  tools: () => loop("call", whole),
  tools_stream: () => loop("call", streamed),
  two_tools: () => loop("two_calls", whole),
  two_tools_stream: () => loop("two_calls", streamed),
  thinking_tools: () => loop("thinking_calls", whole, { reasoning_effort: "low" }),
  thinking_tools_stream: () => loop("thinking_calls", streamed, { reasoning_effort: "low" }),
  async forced_tool() {
    const tool_choice = { type: "function", function: { name: "now" } };
    const message = await whole(say("forced"), { tools, tool_choice });
    return (message.tool_calls ?? []).map((call) => call.function.name);
  },
  bad_request: () => failures(say("hello"), { temperature: 3 }),
  refused_upstream: () => failures(say("refused")),
  async away() {
    const found = [];
    for (const text of words.away) found.push(...await failures(said(text)));
    return found;
  },
  async broken() {
    const found = [];
    for (const text of words.broken) {
      found.push(await failure(() => ask(said(text), { stream: true })));
    }
    return found;
  },
});
