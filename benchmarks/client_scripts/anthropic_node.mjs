// npm: @anthropic-ai/sdk
// The Anthropic SDK for JavaScript.

import Anthropic from "@anthropic-ai/sdk";
import { CITY, KEY, MAX_TOKENS, MODEL, PLACE, QUESTION, URL_, WEATHER } from "./tasks.mjs";
import { ModelFailed, check, checkCalled, checkCity, checkPieces, run, weather } from "./tasks.mjs";

const client = new Anthropic({ baseURL: URL_, apiKey: KEY });
const user = (content) => ({ role: "user", content });
const settings = { model: MODEL, max_tokens: MAX_TOKENS };
const textOf = (answer) =>
  answer.content
    .filter((block) => block.type === "text")
    .map((block) => block.text)
    .join("");
const tool = { name: "weather", description: "The weather in a city.", input_schema: PLACE };

await run({
  async basic() {
    check(textOf(await client.messages.create({ ...settings, messages: [user(QUESTION)] })));
  },
  async stream() {
    const pieces = [];
    const found = client.messages.stream({ ...settings, messages: [user(QUESTION)] });
    found.on("text", (text) => pieces.push(text));
    await found.finalMessage();
    checkPieces(pieces);
  },
  async tools() {
    const messages = [user(WEATHER)];
    let answer;
    for (const type of ["any", "none"]) {
      answer = await client.messages.create({ ...settings, messages, tools: [tool], tool_choice: { type } });
      messages.push({ role: "assistant", content: answer.content });
      const results = answer.content
        .filter((block) => block.type === "tool_use")
        .map((block) => ({ type: "tool_result", tool_use_id: block.id, content: weather(block.input) }));
      if (results.length) messages.push({ role: "user", content: results });
    }
    checkCalled();
    check(textOf(answer));
  },
  async structured() {
    const answer = await client.messages.create({
      ...settings,
      messages: [user(QUESTION)],
      tools: [{ name: "city", description: "Say the city.", input_schema: CITY }],
      tool_choice: { type: "tool", name: "city" },
    });
    if (answer.stop_reason === "max_tokens") throw new ModelFailed("the call was cut");
    checkCity(answer.content.find((block) => block.type === "tool_use")?.input);
  },
});
