// Markdown as the server renders and sanitises it; while it is written, only its last block anew.

import { button, copy, following, make } from "./dom.js";
import { ask } from "./server.js";

const LEAST_PAUSE_MS = 100, PAUSES = 4;  // a rendering is followed by a pause of four times its time

// The browser takes markup from here alone (Content-Security-Policy: trusted-types longctx).
const policy = globalThis.trustedTypes
  ? trustedTypes.createPolicy("longctx", { createHTML: (html) => html })
  : { createHTML: (html) => html };

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = policy.createHTML(html);
  for (const pre of template.content.querySelectorAll("pre")) {
    pre.tabIndex = 0;  // what scrolls is reached by keyboard
    const box = make("div", "code");
    pre.replaceWith(box);
    box.append(pre, button("Copy", async (it) => {
      await copy(pre.textContent);
      it.textContent = "Copied";
      setTimeout(() => { it.textContent = "Copy"; }, 1500);
    }, { label: "Copy this code", className: "small" }));
  }
  for (const table of template.content.querySelectorAll("table")) {
    const box = make("div", "wide-table");
    box.tabIndex = 0;
    table.replaceWith(box);
    box.append(table);
  }
  return template.content;
}

/* A text that grows. Its place shows it as plain text until the server has rendered it. */
export class Markdown {
  constructor(place) {
    this.place = place;
    this.text = "";
    this.rest = "";       // Markdown of the last block, which may still change
    this.sent = 0;        // characters of the text that were rendered
    this.open = null;     // nodes of the last block
    this.busy = null;     // the rendering under way
  }

  /* Show this much of it. */
  show(text) {
    this.text = text;
    if (!this.open) this.place.textContent = text;
    this.busy ||= this.#render();
  }

  /* Render all of it at once: what stands at its end may bear on its beginning (references). */
  async finish(text) {
    this.text = text;
    await this.busy;
    if (!this.open) this.place.textContent = text;
    try {
      const { settled, open } = await (await ask("/page/markdown", { text })).json();
      following(() => this.#replace(parsed(settled + open)));
    } catch { /* it stands there as it was shown */ }
  }

  #replace(...nodes) {
    this.place.classList.add("rendered");
    this.place.replaceChildren(...nodes);
  }

  async #render() {
    try {
      while (this.sent < this.text.length) {
        const began = performance.now();
        const upTo = this.text.length, text = this.rest + this.text.slice(this.sent);
        const { settled, open, rest } = await (await ask("/page/markdown", { text })).json();
        following(() => {
          if (!this.open) this.#replace();
          for (const node of this.open || []) node.remove();
          const last = parsed(open);
          this.open = [...last.childNodes];
          this.place.append(parsed(settled), last);
        });
        this.rest = rest;
        this.sent = upTo;
        const pause = Math.max(LEAST_PAUSE_MS, PAUSES * (performance.now() - began));
        await new Promise((done) => setTimeout(done, pause));
      }
    } catch { /* the whole is tried again when it is finished */ }
    this.busy = null;
  }
}
