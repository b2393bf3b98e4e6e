// What the programs that drive an SDK share. Each runs as
// `node PROGRAM BASE_URL KEY MODEL WORDS [CASE ...]`; WORDS is a JSON object with the prompts of this
// run. It prints one JSON object: for each case {"value": ...}, what the user saw, or {"error": ...}.
// tests/api/genai_core.py is the same in Python.
import { readFileSync } from "node:fs";

const [baseUrl, key, model, wordsAsJson, ...names] = process.argv.slice(2);
const words = JSON.parse(wordsAsJson);
export { baseUrl, key, model, words };

/** Run the cases named on the command line, or all, and print what came of them. */
export async function main(packageName, cases) {
  const manifest = new URL(`node_modules/${packageName}/package.json`, import.meta.url);
  const results = { sdk: JSON.parse(readFileSync(manifest)).version };
  for (const [name, run] of Object.entries(cases)) {
    if (names.length > 0 && !names.includes(name)) continue;
    try {
      results[name] = { value: await run() };
    } catch (error) {
      results[name] = { error: String(error?.stack ?? error) };
    }
  }
  console.log(JSON.stringify(results));
}

export async function collect(chunks) {
  const found = [];
  for await (const chunk of await chunks) found.push(chunk);
  return found;
}

/** The functions that the model may call, and what it called. */
export function functions() {
  const made = [];
  const run = {
    lookup({ city }) {
      made.push(["lookup", city]);
      return `${city} is large`;
    },
    now() {
      made.push(["now"]);
      return "noon";
    },
  };
  return { made, answer: (call) => ({ result: run[call.name](call.args) }) };
}

/** Send `first`, then the results of the calls that come, until none come or the rounds are over. */
export async function callingLoop(send, first, callsOf, responseFor) {
  const { made, answer } = functions();
  let answers = await send(first);
  for (let round = 1; round < words.rounds; round++) {
    const calls = answers.flatMap(callsOf);
    if (calls.length === 0) break;
    answers = await send(calls.map((call) => responseFor(call, answer(call))));
  }
  return { made, answers };
}

export const partsOf = (answer) => answer.candidates?.[0]?.content?.parts ?? [];

/** An answer of either of Google's SDKs, or a chunk of one, in plain values. */
export function seen(answer) {
  const candidate = answer.candidates?.[0];
  const usage = answer.usageMetadata;
  const parts = partsOf(answer);
  const text = (isThought) =>
    parts.filter((p) => Boolean(p.thought) === isThought).map((p) => p.text ?? "").join("");
  return {
    text: text(false),
    thoughts: text(true),
    calls: parts.flatMap((p) => (p.functionCall ? [[p.functionCall.name, p.functionCall.args]] : [])),
    role: candidate?.content?.role ?? null,
    finish: candidate?.finishReason ?? null,
    usage: usage && {
      input: usage.promptTokenCount,
      output: usage.candidatesTokenCount,
      thoughts: usage.thoughtsTokenCount ?? null,
      total: usage.totalTokenCount,
    },
    model: answer.modelVersion,
    id: answer.responseId,
  };
}

export const allSeen = async (chunks) => (await collect(chunks)).map(seen);

/** The history of a chat: who, the text, and the number of parts. */
export const turnsOf = (history) =>
  history.map(({ role, parts = [] }) => [
    role,
    parts.filter((p) => !p.thought).map((p) => p.text ?? "").join(""),
    parts.length,
  ]);

/** What a user catches, and what had arrived before. `told` reads the SDK's own errors. */
export async function failureOf(call, told) {
  const before = [];
  try {
    const answer = await call();
    const chunks = answer?.stream ?? (answer?.[Symbol.asyncIterator] ? answer : []);
    for await (const chunk of chunks) before.push(seen(chunk));
  } catch (error) {
    return { before, ...told(error) };
  }
  return { class: null, before };
}

export const reasonsOf = (details) => (details ?? []).flatMap((d) => (d.reason ? [d.reason] : []));
