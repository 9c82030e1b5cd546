// How the page asks: system prompt, thinking, sampling, tools. Kept in this browser.

import { $, make } from "./dom.js";
import { findSettings, keepSettings } from "./store.js";

const SAMPLING = {
  temperature: "Temperature", top_p: "Top p", top_k: "Top k", min_p: "Min p",
  repeat_penalty: "Repeat penalty", presence_penalty: "Presence penalty",
  frequency_penalty: "Frequency penalty", dry_multiplier: "DRY multiplier", seed: "Seed",
};
const WHOLE = new Set(["top_k", "seed"]);
const NONE = { system: "", effort: "", max_tokens: null, sampling: {}, tools: "" };

export class Settings {
  constructor(changed) {
    this.changed = changed;
    this.all = { ...NONE };
    for (const [name, title] of Object.entries(SAMPLING)) {
      const label = make("label", "", title), field = make("input");
      Object.assign(field, { type: "number", step: WHOLE.has(name) ? 1 : "any", id: `set-${name}` });
      label.append(field);
      $("sampling").append(label);
    }
    $("settings-button").addEventListener("click", () => this.#open());
    $("settings-cancel").addEventListener("click", () => $("settings").close());
    $("settings-reset").addEventListener("click", () => this.#fill(NONE));
    $("settings-form").addEventListener("submit", (event) => { event.preventDefault(); this.#save(); });
  }

  async load() {
    this.all = { ...NONE, ...await findSettings() };
  }

  get system() { return this.all.system.trim(); }

  /* What changes the prompt. */
  inPrompt() {
    const asked = {}, { effort, tools } = this.all;
    if (effort) asked.reasoning_effort = effort;
    if (tools) asked.tools = JSON.parse(tools);
    return asked;
  }

  /* All that a request says beside its messages. */
  request(model) {
    const asked = { ...model.longctx.sampling, ...this.all.sampling, ...this.inPrompt() };
    if (this.all.max_tokens) asked.max_tokens = this.all.max_tokens;
    return asked;
  }

  /* Say in each field what the server does where nothing is chosen. */
  showDefaults({ longctx }) {
    for (const name of Object.keys(SAMPLING)) {
      $(`set-${name}`).placeholder = name === "seed" ? "random" : longctx.sampling[name] ?? "off";
    }
  }

  #open() {
    this.#fill(this.all);
    $("settings").showModal();
  }

  #fill({ system, effort, max_tokens: most, sampling, tools }) {
    $("system").value = system;
    $("effort").value = effort;
    $("max-tokens").value = most ?? "";
    $("set-tools").value = tools;
    for (const name of Object.keys(SAMPLING)) $(`set-${name}`).value = sampling[name] ?? "";
    $("settings-error").hidden = true;
  }

  #save() {
    const number = (id) => $(id).value === "" ? null : Number($(id).value);
    const tools = $("set-tools").value.trim(), sampling = {};
    try {
      if (tools && !Array.isArray(JSON.parse(tools))) throw new Error("it is no list");
    } catch (error) {
      $("settings-error").textContent = `The tools are no JSON list of OpenAI's tools: ${error.message}`;
      $("settings-error").hidden = false;
      $("set-tools").focus();
      return;
    }
    for (const name of Object.keys(SAMPLING)) {
      const value = number(`set-${name}`);
      if (value !== null) sampling[name] = value;
    }
    this.all = {
      system: $("system").value, effort: $("effort").value, max_tokens: number("max-tokens"), sampling, tools,
    };
    keepSettings(this.all).catch(() => {});
    $("settings").close();
    this.changed();
  }
}
