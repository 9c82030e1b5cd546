// npm: openai
// The OpenAI SDK for JavaScript, chat completions.

import OpenAI from "openai";
import { CITY, KEY, MAX_TOKENS, MODEL, PLACE, QUESTION, URL_, WEATHER } from "./tasks.mjs";
import { check, checkCalled, checkCity, checkPieces, run, weather } from "./tasks.mjs";

const client = new OpenAI({ baseURL: `${URL_}/v1`, apiKey: KEY });
const user = (content) => ({ role: "user", content });
const ask = (messages, more = {}) =>
  client.chat.completions.create({ model: MODEL, max_tokens: MAX_TOKENS, temperature: 0, messages, ...more });
const tool = { type: "function", function: { name: "weather", description: "The weather in a city.", parameters: PLACE } };

await run({
  async basic() {
    const answer = await ask([user(QUESTION)]);
    check(answer.choices[0].message.content);
  },
  async stream() {
    const pieces = [];
    for await (const chunk of await ask([user(QUESTION)], { stream: true })) {
      const text = chunk.choices[0]?.delta?.content;
      if (text) pieces.push(text);
    }
    checkPieces(pieces);
  },
  async tools() {
    const messages = [user(WEATHER)];
    let message;
    for (const tool_choice of ["required", "none"]) {
      message = (await ask(messages, { tools: [tool], tool_choice })).choices[0].message;
      messages.push(message);
      for (const call of message.tool_calls ?? [])
        messages.push({ role: "tool", tool_call_id: call.id, content: weather(JSON.parse(call.function.arguments)) });
    }
    checkCalled();
    check(message.content);
  },
  async structured() {
    const format = { type: "json_schema", json_schema: { name: "city", schema: CITY, strict: true } };
    const answer = await ask([user(QUESTION)], { response_format: format });
    checkCity(JSON.parse(answer.choices[0].message.content));
  },
});
