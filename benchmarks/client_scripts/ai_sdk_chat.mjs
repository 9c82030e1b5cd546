// npm: ai @ai-sdk/openai @ai-sdk/openai-compatible
// The AI SDK, OpenAI-compatible provider.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { CITY, KEY, MAX_TOKENS, MODEL, PLACE, QUESTION, URL_, WEATHER } from "./tasks.mjs";
import { check, checkCalled, checkCity, checkPieces, run, weather } from "./tasks.mjs";

const provider = createOpenAICompatible({ name: "ours", baseURL: `${URL_}/v1`, apiKey: KEY, supportsStructuredOutputs: true });
const settings = { model: provider(MODEL), maxOutputTokens: MAX_TOKENS, temperature: 0, maxRetries: 0 };

await run({
  async basic() {
    check((await generateText({ ...settings, prompt: QUESTION })).text);
  },
  async stream() {
    const pieces = [];
    for await (const text of streamText({ ...settings, prompt: QUESTION }).textStream) pieces.push(text);
    checkPieces(pieces);
  },
  async tools() {
    const tools = {
      weather: tool({ description: "The weather in a city.", inputSchema: jsonSchema(PLACE), execute: weather }),
    };
    const prepareStep = ({ stepNumber }) => ({ toolChoice: stepNumber ? "none" : "required" });
    const answer = await generateText({ ...settings, prompt: WEATHER, tools, prepareStep, stopWhen: stepCountIs(2) });
    checkCalled();
    check(answer.text);
  },
  async structured() {
    const output = Output.object({ schema: jsonSchema(CITY) });
    const answer = await generateText({ ...settings, prompt: QUESTION, output });
    checkCity(answer.output);
  },
});
