// Files that join the next message: read by the server, which tells their tokens.

import { $, button, following, make, n, showError } from "./dom.js";
import { ask, askForKey, reason } from "./server.js";

export function label({ name, n_tokens: tokens, n_pages: pages }) {
  return `${name}, ${n(tokens)} tokens` + (pages ? `, ${n(pages)} page${pages === 1 ? "" : "s"}` : "");
}

/* A server without its readers takes no file; a text can be read here. */
async function readHere(file, model, refused) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    if (text.includes("\0")) throw refused;
    const { count } = await (await ask("/tokenize", { model, content: text })).json();
    return { id: null, name: file.name, text, n_tokens: count, n_pages: null, notes: [] };
  } catch {
    throw refused;
  }
}

async function read(file, model, signal) {
  const asked = new URLSearchParams({ name: file.name, ...model && { model } });
  try {
    return await (await ask(`/page/files?${asked}`, file, { signal })).json();
  } catch (error) {
    if (error.code === "missing_extra") return readHere(file, model, error);
    throw error;
  }
}

export class Files {
  /* `model` tells whose tokens are counted. */
  constructor(changed, model) {
    this.changed = changed;
    this.model = model;
    this.all = [];
    this.underWay = new Map();  // name and controller of each that is being read
  }

  get reading() { return this.underWay.size > 0; }

  set(files) {
    this.all = files;
    this.#show();
  }

  async take(list) {
    await Promise.all([...list].map((file) => this.#takeOne(file)));
    $("text").focus();
  }

  /* Leave out all, those that are being read included. */
  clear() {
    for (const controller of this.underWay.keys()) controller.abort();
    this.set([]);
  }

  async #takeOne(file) {
    const controller = new AbortController();
    this.underWay.set(controller, file.name);
    this.#show();
    try {
      // An empty file would be sent as no body at all.
      if (!file.size) throw new Error("it is empty (0 bytes)");
      const { id, name, text, n_tokens, n_pages, notes } = await read(file, this.model(), controller.signal);
      if (!controller.signal.aborted) this.all = [...this.all, { id, name, text, n_tokens, n_pages, notes }];
    } catch (error) {
      if (error.name !== "AbortError") showError(`${file.name}: ${reason(error)}`);
      if (error.status === 401) askForKey(error.message);
    }
    this.underWay.delete(controller);
    this.#show();
  }

  #show() {
    const leaveOut = (name, action) => {
      const it = button("×", () => { action(); this.#show(); $("text").focus(); }, { label: `Leave out ${name}` });
      return it;
    };
    const known = this.all.map((file) => {
      const item = make("li", "", label(file));
      if (file.notes.length) item.append(make("span", "quiet note", file.notes.join("; ")));
      item.append(leaveOut(file.name, () => {
        this.all = this.all.filter((other) => other !== file);
        if (file.id) ask(`/page/files/${file.id}`, null, { method: "DELETE" }).catch(() => {});
      }));
      return item;
    });
    const coming = [...this.underWay].map(([controller, name]) => {
      const item = make("li", "quiet", `reading ${name} …`);
      item.append(leaveOut(name, () => controller.abort()));
      return item;
    });
    following(() => $("files").replaceChildren(...known, ...coming));
    this.changed();
  }
}

/* Files that are picked, dropped or pasted. */
export function watchFiles(files) {
  $("pick").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => { files.take([...$("file").files]); $("file").value = ""; });
  const holdsFiles = (event) => event.dataTransfer.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!holdsFiles(event)) return;
    event.preventDefault();
    files.take([...event.dataTransfer.files]);
  });
  $("text").addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    files.take([...event.clipboardData.files]);
  });
}
