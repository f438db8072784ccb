// Asks the server at the address that is given, with the clients of npm.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { embed, embedMany, generateObject, generateText, streamObject, streamText } from "ai";
import { Ollama } from "ollama";
import { createOllama } from "ollama-ai-provider-v2";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { aborted, all, report } from "./checks.mjs";

const url = process.argv[2];
const prompt = "the cat";
const messages = [{ role: "user", content: prompt }];
const options = { num_predict: 6, temperature: 0, seed: 1 };
const endless = { num_predict: 1500, temperature: 1, seed: 1 };
const animal = z.object({ legs: z.number().int(), tame: z.boolean() });
const schema = z.toJSONSchema(animal);
const tiny = { model: "tiny", messages };
const long = { ...tiny, max_tokens: 1500, stream: true };
const texts = ["the cat", "a dog"];

const native = new Ollama({ host: url });
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 });
const provider = createOllama({ baseURL: `${url}/api` });
const compatible = createOpenAICompatible({ name: "olpipe", baseURL: `${url}/v1`, supportsStructuredOutputs: true });
const limited = { providerOptions: { ollama: { options } }, maxRetries: 0 };
const quick = { temperature: 0, maxOutputTokens: 6, maxRetries: 0 };
const held = { schema: animal, maxOutputTokens: 64, maxRetries: 0 };

const joined = async (parts, text) => (await all(await parts)).map(text).join("");
const answer = (more) => openai.chat.completions.create({ ...tiny, temperature: 0, ...more });
const vectors = provider.textEmbeddingModel("vectors");
const note = { name: "note", input_schema: { ...schema, additionalProperties: false } };

await report({
  "ollama chat": async () => (await native.chat({ ...tiny, options })).message.content,
  "ollama chat in parts": () => joined(native.chat({ ...tiny, options, stream: true }), (part) => part.message.content),
  "ollama generate": async () => (await native.generate({ model: "tiny", prompt, options })).response,
  "ollama generate in parts": () =>
    joined(native.generate({ model: "tiny", prompt, options, stream: true }), (part) => part.response),
  "ollama format": async () => {
    const said = await native.chat({ ...tiny, format: schema });
    return animal.parse(JSON.parse(said.message.content));
  },
  "ollama photo": async () => {
    const looking = { role: "user", content: "what is it?", images: [process.argv[3]] };
    return (await native.chat({ model: "seer", messages: [looking], options })).done;
  },
  "ollama embed": async () => (await native.embed({ model: "vectors", input: texts })).embeddings.length,
  "ollama list": async () => (await native.list()).models.map((model) => model.name),
  "ollama show": async () => (await native.show({ model: "tiny" })).capabilities,
  "ollama ps": async () => (await native.ps()).models.some((model) => model.name === "tiny:latest"),
  "ollama version": async () => typeof (await native.version()).version,
  "ollama abort": async () => {
    const parts = await native.chat({ ...tiny, options: endless, stream: true });
    return aborted((signal) => {
      signal.addEventListener("abort", () => parts.abort());
      return parts;
    });
  },
  "ollama error": () => native.chat({ model: "nobody", messages }),

  "openai chat": async () => (await answer({ max_completion_tokens: 6 })).choices[0],
  "openai chat in parts": () =>
    joined(answer({ max_tokens: 6, stream: true }), (part) => part.choices[0]?.delta.content ?? ""),
  "openai usage in parts": async () => {
    const parts = await answer({ max_tokens: 6, stream: true, stream_options: { include_usage: true } });
    return (await all(parts)).at(-1).usage.completion_tokens;
  },
  "openai parse": async () => {
    const response_format = zodResponseFormat(animal, "animal");
    return (await openai.chat.completions.parse({ ...tiny, response_format })).choices[0].message.parsed;
  },
  "openai responses": async () =>
    (await openai.responses.create({ model: "tiny", input: prompt, temperature: 0, max_output_tokens: 6 })).output_text,
  "openai responses in parts": async () => {
    const parts = openai.responses.stream({ model: "tiny", input: prompt, temperature: 0, max_output_tokens: 6 });
    return (await parts.finalResponse()).output_text;
  },
  "openai embeddings": async () => (await openai.embeddings.create({ model: "vectors", input: texts })).data.length,
  "openai models": async () => (await all(openai.models.list())).map((model) => model.id),
  "openai abort": () => aborted((signal) => openai.chat.completions.create(long, { signal })),
  "openai error": () => answer({ model: "nobody" }),

  "anthropic message": async () =>
    (await anthropic.messages.create({ ...tiny, temperature: 0, max_tokens: 6 })).content[0].text,
  "anthropic message in parts": () => anthropic.messages.stream({ ...tiny, temperature: 0, max_tokens: 6 }).finalText(),
  "anthropic tokens": async () => (await anthropic.messages.countTokens(tiny)).input_tokens > 0,
  "anthropic tool": async () => {
    const forced = { model: "thinker", messages, tools: [note], tool_choice: { type: "tool", name: "note" } };
    return (await anthropic.messages.create({ ...forced, max_tokens: 400 })).content.at(-1).input;
  },
  "anthropic abort": () => aborted((signal) => anthropic.messages.create(long, { signal })),
  "anthropic error": () => anthropic.messages.create({ model: "nobody", messages, max_tokens: 5 }),

  "provider text": async () => (await generateText({ model: provider("tiny"), messages, ...limited })).text,
  "provider text in parts": () =>
    joined(streamText({ model: provider("tiny"), messages, ...limited }).textStream, String),
  "provider limit": async () =>
    (await generateText({ model: provider("tiny"), messages, ...quick })).usage.outputTokens,
  "provider object": async () => (await generateObject({ model: provider("tiny"), prompt, ...held })).object,
  "provider object in parts": async () => {
    const said = streamObject({ model: provider("tiny"), prompt, ...held });
    await all(said.partialObjectStream);
    return said.object;
  },
  "provider vector": async () => (await embed({ model: vectors, value: prompt })).embedding.length,
  "provider vectors": async () => (await embedMany({ model: vectors, values: texts })).embeddings.length,
  "provider abort": () =>
    aborted((abortSignal) => {
      const providerOptions = { ollama: { options: endless } };
      const asked = { model: provider("tiny"), messages, abortSignal, providerOptions, onError: () => {} };
      return streamText(asked).fullStream;
    }),
  "provider error": () => generateText({ model: provider("nobody"), messages, maxRetries: 0 }),

  "compatible text": async () => (await generateText({ model: compatible("tiny"), messages, ...quick })).text,
  "compatible object": async () => (await generateObject({ model: compatible("tiny"), prompt, ...held })).object,
});
