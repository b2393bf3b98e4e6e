// What people do with Google's newest Node SDK; see driver.mjs.
import { ApiError, GoogleGenAI, Type } from "@google/genai";
import {
  allSeen, baseUrl, callingLoop, collect, failureOf, functions, key, main, model, partsOf, reasonsOf,
  seen, turnsOf, words,
} from "./driver.mjs";

const connect = (apiKey) =>
  new GoogleGenAI({ apiKey, httpOptions: { baseUrl, timeout: 30_000 } });
const client = connect(key);

const ask = (contents, config, from = client) =>
  from.models.generateContent({ model, contents, config });
const stream = (contents, config, from = client) =>
  from.models.generateContentStream({ model, contents, config });

const failure = (call) => failureOf(call, (error) => {
  if (!(error instanceof ApiError)) throw error;
  // Its message is the body of the answer as text; that of a stream's event stands after some words.
  const body = JSON.parse(error.message.slice(error.message.indexOf("{"))).error;
  return {
    class: error.name,
    code: error.status,
    status: body.status,
    message: body.message,
    reasons: reasonsOf(body.details),
  };
});

// ------------------------------------------------------------------------- functions

const lookup = {
  name: "lookup",
  description: "Looks a city up.",
  parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ["city"] },
};
const now = { name: "now", description: "Tells the time." };

/** A chat in which the user's code makes the calls, until the model has its text. */
async function loop(declaration, prompt, { streams = false, ids = false } = {}) {
  const tools = [{ functionDeclarations: [declaration] }];
  const chat = client.chats.create({ model, config: { tools } });
  const send = async (message) =>
    streams ? collect(chat.sendMessageStream({ message })) : [await chat.sendMessage({ message })];
  const { made, answers } = await callingLoop(
    send,
    words[prompt],
    (answer) => answer.functionCalls ?? [],
    ({ id, name }, response) => ({ functionResponse: { ...(ids && id && { id }), name, response } }),
  );
  const all = answers.map(seen);
  return { made, text: all.map((a) => a.text).join(""), last: all.at(-1) ?? null };
}

/** The two results go back together with what the model thought before it called. */
async function thinkingLoop(send) {
  const { made, answer } = functions();
  const config = {
    tools: [{ functionDeclarations: [lookup] }],
    thinkingConfig: { thinkingBudget: 2048, includeThoughts: true },
  };
  const contents = [{ role: "user", parts: [{ text: words.thinking_calls }] }];
  const parts = (await send(contents, config)).flatMap(partsOf);
  const results = parts.flatMap(({ functionCall }) =>
    functionCall
      ? [{ functionResponse: { name: functionCall.name, response: answer(functionCall) } }]
      : []);
  contents.push({ role: "model", parts }, { role: "user", parts: results });
  const answers = (await send(contents, config)).map(seen);
  return { made, text: answers.map((a) => a.text).join("") };
}

// ------------------------------------------------------------------------- shapes

const responseMimeType = "application/json";
const place = {
  type: Type.OBJECT,
  properties: { name: { type: Type.STRING }, population: { type: Type.INTEGER } },
  required: ["name", "population"],
};
const city = {
  type: Type.OBJECT,
  properties: {
    name: { type: Type.STRING },
    size: { type: Type.STRING, enum: ["small", "large"] },
    tags: { type: Type.ARRAY, items: { type: Type.STRING } },
    inner: place,
    nickname: { type: Type.STRING, nullable: true },
  },
  required: ["name", "size", "tags", "inner", "nickname"],
  propertyOrdering: ["name", "size", "tags", "inner", "nickname"],
};
const placeAsJsonSchema = {
  type: "object",
  properties: { name: { type: "string" }, population: { type: "integer" } },
  required: ["name", "population"],
  additionalProperties: false,
};
const shaped = async (config) =>
  JSON.parse((await ask(words.schema, { responseMimeType, ...config })).text);

// ------------------------------------------------------------------------- the cases

await main("@google/genai", {
  async generate() {
    const answer = await ask(words.hello);
    const request_id = answer.sdkHttpResponse?.headers?.["x-request-id"] ?? null;
    return { ...seen(answer), shortcut: answer.text, request_id };
  },
  stream: () => allSeen(stream(words.hello)),
  async unicode() {
    const chunks = await allSeen(stream(words.unicode));
    return { whole: seen(await ask(words.unicode)).text, streamed: chunks.map((c) => c.text) };
  },
  async chat() {
    const chat = client.chats.create({ model });
    const texts = [];
    for (const name of ["hello", "again"]) {
      texts.push((await chat.sendMessage({ message: words[name] })).text);
    }
    return { texts, turns: turnsOf(chat.getHistory(true)) };
  },
  async chat_stream() {
    const chat = client.chats.create({ model });
    const texts = [];
    for (const name of ["hello", "again_streamed"]) {
      const chunks = await allSeen(chat.sendMessageStream({ message: words[name] }));
      texts.push(chunks.map((c) => c.text).join(""));
    }
    return { texts, turns: turnsOf(chat.getHistory(true)) };
  },
  async system() {
    const short = seen(await ask(words.plain));
    const long = seen(await ask(words.system, { systemInstruction: "Be brief. ".repeat(20) }));
    return { without: short.usage.input, with: long.usage.input };
  },
  async thinking() {
    const config = { thinkingConfig: { includeThoughts: true, thinkingBudget: 2048 } };
    const whole = seen(await ask(words.thinking, config));
    return { whole, chunks: await allSeen(stream(words.thinking, config)) };
  },
  async image() {
    const picture = { inlineData: { mimeType: "image/png", data: words.png } };
    return seen(await ask([picture, { text: words.image }]));
  },
  async knobs() {
    return seen(await ask(words.hello, {
      temperature: 0.5,
      topK: 40,
      seed: 7,
      maxOutputTokens: 2048,
      stopSequences: ["zzz"],
      safetySettings: [{ category: "HARM_CATEGORY_HARASSMENT", threshold: "BLOCK_ONLY_HIGH" }],
    }));
  },
  function_without_arguments: () => loop(now, "call"),
  function_without_arguments_stream: () => loop(now, "call", { streams: true, ids: true }),
  function: () => loop(lookup, "call", { ids: true }),
  function_stream: () => loop(lookup, "call", { streams: true }),
  two_calls: () => loop(lookup, "two_calls"),
  two_calls_stream: () => loop(lookup, "two_calls", { streams: true, ids: true }),
  thinking_calls: () => thinkingLoop(async (...request) => [await ask(...request)]),
  thinking_calls_stream: () => thinkingLoop((...request) => collect(stream(...request))),
  schema_model: async () => ({ parsed: await shaped({ responseSchema: city }) }),
  schema_list: () => shaped({ responseSchema: { type: Type.ARRAY, items: place } }),
  schema_json: async () => ({ parsed: await shaped({ responseJsonSchema: placeAsJsonSchema }) }),
  async count() {
    const short = await client.models.countTokens({ model, contents: "Hello!" });
    const long = await client.models.countTokens({ model, contents: "Hello! ".repeat(50) });
    return [short.totalTokens, long.totalTokens];
  },
  async models() {
    const pager = await client.models.list({ config: { pageSize: 20 } });
    const first_page = pager.pageLength;
    const listed = await collect(pager);
    const one = await client.models.get({ model });
    const chats = (m) => (m.supportedActions ?? []).includes("generateContent");
    return {
      first_page,
      names: listed.map((m) => m.name),
      chatting: listed.filter(chats).map((m) => m.name),
      one: [one.name, one.inputTokenLimit, one.outputTokenLimit],
    };
  },
  async embeddings() {
    const lengths = async (contents, config) => {
      const answer = await client.models.embedContent({
        model: words.embedding_model, contents, config,
      });
      return answer.embeddings.map((e) => e.values.filter((x) => typeof x === "number").length);
    };
    return {
      one: await lengths("Hello!"),
      several: await lengths(["Hello!", "Goodbye!", "Well."]),
      short: await lengths(["Hello!", "Goodbye!"], { outputDimensionality: 256 }),
      task: await lengths("Hello!", { taskType: "RETRIEVAL_QUERY" }),
    };
  },
  async wrong_key() {
    const nobody = connect("nobody");
    return [
      await failure(() => ask("hi", {}, nobody)),
      await failure(() => stream("hi", {}, nobody)),
      await failure(() => nobody.models.list()),
      await failure(() => nobody.models.get({ model })),
    ];
  },
  async unknown_model() {
    const request = { model: "no-such-model", contents: "hi" };
    return [
      await failure(() => client.models.generateContent(request)),
      await failure(() => client.models.generateContentStream(request)),
      await failure(() => client.models.get({ model: "no-such-model" })),
    ];
  },
  async bad_request() {
    const config = { temperature: 9 };
    return [await failure(() => ask("hi", config)), await failure(() => stream("hi", config))];
  },
  async away() {
    return [await failure(() => ask(words.away)), await failure(() => stream(words.away))];
  },
  async broken() {
    const found = [];
    for (const prompt of words.broken) found.push(await failure(() => stream(prompt)));
    return found;
  },
  async limited() {
    for (let i = 0; i < words.limit; i++) {
      const caught = await failure(() => ask(words.hello));
      if (caught.class) return caught;
    }
    return null;
  },
});
