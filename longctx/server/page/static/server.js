// Asking the server: the key, errors in words, events of a stream.

import { $ } from "./dom.js";

const KEY = "longctx-api-key";

export class ServerError extends Error {
  constructor(status, body) {
    let told = body, code = "";
    try { ({ message: told, code } = JSON.parse(body).error); } catch { /* the text is all there is */ }
    super(told || `the server answered ${status} and nothing else`);
    this.status = status;
    this.code = code;
  }
}

/* fetch and its streams say by a TypeError that the connection failed. */
export const reason = (error) => error instanceof TypeError
  ? `the server cannot be reached (${error.message}); is it still running?` : error.message;

/* A body is sent as JSON, bytes as they are. */
export async function ask(path, body, { signal, method } = {}) {
  const isBytes = body instanceof Blob;
  const headers = body ? { "Content-Type": isBytes ? "application/octet-stream" : "application/json" } : {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  const reply = await fetch(path, {
    method: method || (body ? "POST" : "GET"), headers, signal,
    body: isBytes || !body ? body : JSON.stringify(body),
  });
  if (!reply.ok) throw new ServerError(reply.status, await reply.text());
  return reply;
}

/* Server-sent events: whole blocks, each data or a comment. */
export async function* events(reply) {
  const reader = reply.body.getReader(), decoder = new TextDecoder();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (held + decoder.decode(value, { stream: true })).split("\n\n");
    held = blocks.pop();
    yield* blocks;
  }
}

/* The key, which is kept in this tab until it is closed. */

export const hasKey = () => Boolean(sessionStorage.getItem(KEY));

export function askForKey(message) {
  $("key-error").textContent = message;
  $("key-error").hidden = !message;
  $("key-button").hidden = false;
  if (!$("key-dialog").open) $("key-dialog").showModal();
  $("key").select();
}

/* Call `used` when there is a key that the server takes. */
export function watchKey(used) {
  $("key-button").addEventListener("click", () => askForKey(""));
  $("key-cancel").addEventListener("click", () => $("key-dialog").close());
  $("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, $("key").value.trim());
    try { await ask("/v1/models"); } catch (error) { askForKey(reason(error)); return; }
    $("key").value = "";
    $("key-dialog").close();
    used();
  });
}
