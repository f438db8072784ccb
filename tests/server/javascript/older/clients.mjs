// Asks the server at the address that is given, with the provider of npm that Ollama's users had first.
import { embed, generateObject, generateText, streamText } from "ai";
import { createOllama } from "ollama-ai-provider";
import { z } from "zod";

import { all, report } from "../checks.mjs";

const provider = createOllama({ baseURL: `${process.argv[2]}/api` });
const messages = [{ role: "user", content: "the cat" }];
const quick = { messages, temperature: 0, maxTokens: 6, maxRetries: 0 };
const animal = z.object({ legs: z.number().int(), tame: z.boolean() });

const model = provider("tiny");
const held = provider("tiny", { structuredOutputs: true });
const vectors = provider.embedding("vectors");

await report({
  "older text": async () => (await generateText({ model, ...quick })).text,
  "older text in parts": async () => (await all(streamText({ model, ...quick }).textStream)).join(""),
  "older object": async () =>
    (await generateObject({ model: held, schema: animal, ...quick, maxTokens: 64 })).object,
  "older vector": async () => (await embed({ model: vectors, value: "the cat" })).embedding.length,
  "older error": () => generateText({ ...quick, model: provider("nobody") }),
});
