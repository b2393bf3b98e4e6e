// What people still do with Google's first Node SDK, deprecated and installed widely; see driver.mjs.
import {
  GoogleGenerativeAI, GoogleGenerativeAIFetchError, SchemaType,
} from "@google/generative-ai";
import {
  allSeen, baseUrl, callingLoop, collect, failureOf, functions, key, main, model, partsOf, reasonsOf,
  seen, turnsOf, words,
} from "./driver.mjs";

/** A model of this SDK; `settings` are tools, generationConfig and the like. */
const connect = (settings = {}, { apiKey = key, name = model, url = baseUrl } = {}) =>
  new GoogleGenerativeAI(apiKey).getGenerativeModel({ model: name, ...settings }, { baseUrl: url });
const ask = async (contents, settings, options) =>
  (await connect(settings, options).generateContent(contents)).response;
const stream = async (contents, settings, options) => {
  const { stream, response } = await connect(settings, options).generateContentStream(contents);
  response.catch(() => {}); // the same failure once more, for those who only want the end
  return stream;
};

const failure = (call) => failureOf(call, (error) => {
  if (!(error instanceof GoogleGenerativeAIFetchError)) throw error;
  return {
    class: error.constructor.name,
    code: error.status,
    status: null,
    message: error.message,
    reasons: reasonsOf(error.errorDetails),
  };
});

// ------------------------------------------------------------------------- functions

const lookup = {
  name: "lookup",
  description: "Looks a city up.",
  parameters: {
    type: SchemaType.OBJECT,
    properties: { city: { type: SchemaType.STRING } },
    required: ["city"],
  },
};
const now = { name: "now", description: "Tells the time." };
const withTools = (declaration) => ({ tools: [{ functionDeclarations: [declaration] }] });

/** A chat in which the user's code makes the calls, until the model has its text. */
async function loop(declaration, prompt, { streams = false } = {}) {
  const chat = connect(withTools(declaration)).startChat();
  const send = async (message) => {
    if (!streams) return [(await chat.sendMessage(message)).response];
    const { stream, response } = await chat.sendMessageStream(message);
    await collect(stream);
    return [await response];
  };
  const { made, answers } = await callingLoop(
    send,
    words[prompt],
    (answer) => answer.functionCalls() ?? [],
    ({ name }, response) => ({ functionResponse: { name, response } }),
  );
  const all = answers.map(seen);
  return { made, text: all.map((a) => a.text).join(""), last: all.at(-1) ?? null };
}

/** The two results go back together with what the model thought before it called. */
async function thinkingLoop(send) {
  const { made, answer } = functions();
  const settings = {
    ...withTools(lookup),
    generationConfig: { thinkingConfig: { thinkingBudget: 2048, includeThoughts: true } },
  };
  const contents = [{ role: "user", parts: [{ text: words.thinking_calls }] }];
  const parts = (await send({ contents }, settings)).flatMap(partsOf);
  const results = parts.flatMap(({ functionCall }) =>
    functionCall
      ? [{ functionResponse: { name: functionCall.name, response: answer(functionCall) } }]
      : []);
  contents.push({ role: "model", parts }, { role: "function", parts: results });
  const answers = (await send({ contents }, settings)).map(seen);
  return { made, text: answers.map((a) => a.text).join("") };
}

// ------------------------------------------------------------------------- shapes

const responseMimeType = "application/json";
const place = {
  type: SchemaType.OBJECT,
  properties: { name: { type: SchemaType.STRING }, population: { type: SchemaType.INTEGER } },
  required: ["name", "population"],
};
const city = {
  type: SchemaType.OBJECT,
  properties: {
    name: { type: SchemaType.STRING },
    size: { type: SchemaType.STRING, format: "enum", enum: ["small", "large"] },
    tags: { type: SchemaType.ARRAY, items: { type: SchemaType.STRING } },
    inner: place,
    nickname: { type: SchemaType.STRING, nullable: true },
  },
  required: ["name", "size", "tags", "inner", "nickname"],
};
const shaped = async (responseSchema) => JSON.parse(
  (await ask(words.schema, { generationConfig: { responseMimeType, responseSchema } })).text(),
);

async function chatTwice(names, send) {
  const chat = connect().startChat();
  const texts = [];
  for (const name of names) texts.push(await send(chat, words[name]));
  return { texts, turns: turnsOf(await chat.getHistory()) };
}

// ------------------------------------------------------------------------- the cases

await main("@google/generative-ai", {
  async generate() {
    const answer = await ask(words.hello);
    return { ...seen(answer), shortcut: answer.text() };
  },
  stream: () => allSeen(stream(words.hello)),
  async trailing_slash() {
    const url = `${baseUrl}/`;
    return seen(await ask(words.hello, {}, { url }));
  },
  async unicode() {
    const chunks = await allSeen(stream(words.unicode));
    return { whole: seen(await ask(words.unicode)).text, streamed: chunks.map((c) => c.text) };
  },
  chat: () => chatTwice(
    ["hello", "again"], async (chat, text) => (await chat.sendMessage(text)).response.text()),
  chat_stream: () => chatTwice(["hello", "again_streamed"], async (chat, text) => {
    const { stream } = await chat.sendMessageStream(text);
    return (await collect(stream)).map((chunk) => chunk.text()).join("");
  }),
  async system() {
    const short = seen(await ask(words.plain));
    const long = seen(await ask(words.system, { systemInstruction: "Be brief. ".repeat(20) }));
    return { without: short.usage.input, with: long.usage.input };
  },
  async thinking() {
    const generationConfig = { thinkingConfig: { includeThoughts: true, thinkingBudget: 2048 } };
    const whole = seen(await ask(words.thinking, { generationConfig }));
    return { whole, chunks: await allSeen(stream(words.thinking, { generationConfig })) };
  },
  async image() {
    const picture = { inlineData: { mimeType: "image/png", data: words.png } };
    return seen(await ask([picture, { text: words.image }]));
  },
  async knobs() {
    return seen(await ask(words.hello, {
      generationConfig: {
        temperature: 0.5, topK: 40, maxOutputTokens: 2048, stopSequences: ["zzz"],
      },
      safetySettings: [{ category: "HARM_CATEGORY_HARASSMENT", threshold: "BLOCK_ONLY_HIGH" }],
    }));
  },
  function_without_arguments: () => loop(now, "call"),
  function_without_arguments_stream: () => loop(now, "call", { streams: true }),
  function: () => loop(lookup, "call"),
  function_stream: () => loop(lookup, "call", { streams: true }),
  two_calls: () => loop(lookup, "two_calls"),
  two_calls_stream: () => loop(lookup, "two_calls", { streams: true }),
  thinking_calls: () => thinkingLoop(async (...request) => [await ask(...request)]),
  thinking_calls_stream: () => thinkingLoop((...request) => collect(stream(...request))),
  schema_model: async () => ({ parsed: await shaped(city) }),
  schema_list: () => shaped({ type: SchemaType.ARRAY, items: place }),
  async count() {
    const short = await connect().countTokens("Hello!");
    const long = await connect().countTokens("Hello! ".repeat(50));
    return [short.totalTokens, long.totalTokens];
  },
  async embeddings() {
    const embedder = connect({}, { name: words.embedding_model });
    const lengthOf = ({ values }) => values.filter((x) => typeof x === "number").length;
    const content = (text) => ({ role: "user", parts: [{ text }] });
    const one = async (request) => [lengthOf((await embedder.embedContent(request)).embedding)];
    const several = async (requests) =>
      (await embedder.batchEmbedContents({ requests })).embeddings.map(lengthOf);
    const short = { outputDimensionality: 256 };
    return {
      one: await one("Hello!"),
      several: await several(["Hello!", "Goodbye!", "Well."].map((t) => ({ content: content(t) }))),
      short: await several(["Hello!", "Goodbye!"].map((t) => ({ content: content(t), ...short }))),
      task: await one({ content: content("Hello!"), taskType: "RETRIEVAL_QUERY" }),
    };
  },
  async wrong_key() {
    const nobody = { apiKey: "nobody" };
    return [
      await failure(() => ask("hi", {}, nobody)),
      await failure(() => stream("hi", {}, nobody)),
      await failure(() => connect({}, nobody).countTokens("hi")),
    ];
  },
  async unknown_model() {
    const nowhere = { name: "no-such-model" };
    return [
      await failure(() => ask("hi", {}, nowhere)),
      await failure(() => stream("hi", {}, nowhere)),
      await failure(() => connect({}, nowhere).countTokens("hi")),
    ];
  },
  async bad_request() {
    const settings = { generationConfig: { temperature: 9 } };
    return [await failure(() => ask("hi", settings)), await failure(() => stream("hi", settings))];
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
