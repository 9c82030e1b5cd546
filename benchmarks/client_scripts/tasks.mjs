// The tasks of tasks.py, for clients in JavaScript.

export const URL_ = process.env.CLIENT_URL ?? "http://127.0.0.1:8000";
export const MODEL = "m";
export const KEY = "none";
export const QUESTION = "Name the capital of France.";
export const WEATHER = "What is the weather in Paris? Use the tool.";
export const MAX_TOKENS = 64;
export const CITY = {
  type: "object",
  properties: { name: { type: "string" }, country: { type: "string" } },
  required: ["name", "country"],
  additionalProperties: false,
};
export const PLACE = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

export class ModelFailed extends Error {}

let called = [];

export function weather({ city }) {
  called.push(city);
  return "Rain, 12 degrees.";
}

export function check(text) {
  if (!text?.trim()) throw new ModelFailed("no words");
}

export function checkPieces(pieces) {
  if (pieces.length < 2) throw new Error(`${pieces.length} pieces`);
  check(pieces.join(""));
}

export function checkCalled() {
  if (!called.length) throw new ModelFailed("the tool was not called");
}

export function checkCity(city) {
  if (typeof city?.name !== "string" || typeof city?.country !== "string")
    throw new Error(`no city: ${JSON.stringify(city)}`);
}

export async function run(tasks) {
  for (const [task, act] of Object.entries(tasks)) {
    called = [];
    const started = Date.now();
    let outcome = "ok";
    let why = "";
    try {
      await act();
    } catch (error) {
      outcome = error instanceof ModelFailed ? "model" : "failed";
      why = `${error.name}: ${error.message}`;
      if (outcome === "failed") console.error(error);
    }
    console.log(JSON.stringify({ task, outcome, why, s: (Date.now() - started) / 1000 }));
  }
}
