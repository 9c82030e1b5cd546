// The page: what the person does, and what then happens.

import { stream } from "./answer.js";
import { showEmpty, showFill } from "./bar.js";
import { Conversation, draftContent } from "./conversation.js";
import { $, download, following, n, showError } from "./dom.js";
import { Files, watchFiles } from "./files.js";
import { ask, askForKey, hasKey, reason, watchKey } from "./server.js";
import { Settings } from "./settings.js";
import { Shelf } from "./shelf.js";
import * as store from "./store.js";
import { Turn } from "./turns.js";

const COUNT_AFTER_MS = 250, KEEP_EVERY_MS = 1000, MODEL = "longctx-model";

let model = null;        // what /v1/models says of the one that answers
let conversation = new Conversation();
let turns = new Map();   // what is shown of each node
let running = null;      // AbortController of the answer under way
let counting = null;     // AbortController of the count under way
let timer = 0;           // of the next count

const files = new Files(() => {
  setSend(); count();
  if (files.all.length && !files.reading) meetAgain();  // counting them has opened the model
}, () => model?.id);
const settings = new Settings(() => { count(); $("text").focus(); });
const shelf = new Shelf({ open: openKept, drop });

async function meet() {
  try {
    const listed = (await (await ask("/v1/models")).json()).data.filter(({ longctx }) => longctx.sampling);
    const wanted = model?.id ?? localStorage.getItem(MODEL);
    model = listed.find(({ id }) => id === wanted) || listed[0];
    showModels(listed);
  } catch (error) {
    $("model").textContent = reason(error);
    if (error.status === 401) askForKey("");
    return;
  }
  $("key-button").hidden = !hasKey();
  settings.showDefaults(model);
  redraw();
  count();
}

/* Several are to choose from; which one is kept in this browser. */
function showModels(listed) {
  $("model").textContent = model.id;
  $("model").hidden = listed.length > 1;
  $("models").hidden = listed.length < 2;
  $("models").replaceChildren(...listed.map(({ id, status }) =>
    new Option(status.value === "failed" ? `${id} (could not be opened)` : id, id, false, id === model.id)));
}

/* A model that was not open tells its window, and counts, when it is. */
const isOpen = () => model?.status.value === "loaded";
const meetAgain = async () => { if (model && !isOpen()) await meet(); };

/* What is shown */

const last = () => conversation.nodes.get(conversation.leaf);

/* Show the path to the leaf; what is shown of it already stays, and so do errors until the path is another. */
function redraw() {
  const path = conversation.path(), log = $("log");
  const shown = path.map((node) => turnOf(node).place);
  const stands = [...log.children].filter((child) => !child.matches(".error"));
  if (stands.length !== shown.length || stands.some((child, i) => child !== shown[i])) {
    while (log.children.length && [...log.children].some((child, i) => child !== shown[i])) log.lastChild.remove();
    log.append(...shown.slice(log.children.length));
  }
  let before = null;
  path.forEach((node, i) => {
    const turn = turnOf(node);
    if (!running || node !== last()) turn.showNotes(before, model?.max_model_len);
    turn.tools.hidden = Boolean(running);
    if (!running) turn.showTools({ versions: conversation.versions(node), isLast: i === path.length - 1, actions });
    if (node.report) before = node;
  });
  if (model) before ? showFill(model, before) : showEmpty(model);
}

function turnOf(node) {
  if (!turns.has(node.id)) {
    const turn = new Turn(node, model?.id || "The model");
    turn.showWhole();
    turns.set(node.id, turn);
  }
  return turns.get(node.id);
}

const toEnd = () => { $("log").scrollTop = $("log").scrollHeight; };

function setSend() {
  $("send").disabled = Boolean(running) || files.reading;
}

function setRunning(controller) {
  running = controller;
  $("stop").hidden = !running;
  $("new").disabled = Boolean(running);
  $("log").setAttribute("aria-busy", Boolean(running));
  $("prefill").hidden = true;
  setSend();
  following(redraw);
  showShelf();
  count();
  // What had the focus may be gone, and with it the place of who uses the keyboard.
  if (document.activeElement === document.body) $("text").focus();
}

const showShelf = () => shelf.show(conversation.id, Boolean(running));

/* How many tokens the prompt would have, asked a moment after the last key. Nothing is opened for it. */
function count() {
  clearTimeout(timer);
  if (counting) counting.abort();
  $("count").textContent = "";
  const content = draftContent($("text").value.trim(), files.all);
  const messages = conversation.messages(settings.system);
  if (content) messages.push({ role: "user", content });
  if (!isOpen() || running || !messages.length) return;
  timer = setTimeout(async () => {
    counting = new AbortController();
    try {
      const asked = { model: model.id, messages, ...settings.inPrompt() };
      const told = await (await ask("/tokenize", asked, { signal: counting.signal })).json();
      const { reserve_output: reserve, overflow } = model.longctx;
      const room = told.max_model_len - told.count;
      $("count").textContent = room < reserve && overflow === "error"
        ? `${n(told.count)} tokens: with ${n(reserve)} for the answer it does not fit ${n(told.max_model_len)}`
        : `${n(told.count)} tokens to send, ${n(Math.max(0, room))} left of ${n(told.max_model_len)}`;
    } catch (error) {
      if (error.name === "AbortError") return;
      $("count").textContent = reason(error);
      if (error.status === 401) askForKey(error.message);
    }
  }, COUNT_AFTER_MS);
}

/* Keeping */

async function keep() {
  conversation.changed = Date.now();
  history.replaceState(null, "", `#${conversation.id}`);
  try {
    await store.keep(conversation);
  } catch (error) {
    showError(`this browser does not keep the conversation (${error.message}); export it`);
  }
}

async function forget() {
  history.replaceState(null, "", location.pathname);
  await store.forget(conversation.id).catch(() => {});
}

function show(another) {
  conversation = another;
  turns = new Map();
  $("log").replaceChildren();
  redraw(); toEnd(); showShelf(); count();
}

function startAnew() {
  history.replaceState(null, "", location.pathname);
  files.clear();
  show(new Conversation());
  meet();
  shelf.toggle(false);
  $("text").focus();
}

async function openKept(id) {
  const record = await store.find(id).catch(() => null);
  if (!record) return startAnew();
  history.replaceState(null, "", `#${id}`);
  show(new Conversation(record));
  $("text").focus();
}

async function drop() {
  await forget();
  startAnew();
}

/* Asking */

function takeBack(nodes, leaf) {
  for (const node of nodes) {
    conversation.remove(node, leaf);
    turns.delete(node.id);
  }
}

/* Answer what stands at a node. Where nothing is said, `undo` takes back what led here. */
async function answer(parent, undo) {
  const messages = conversation.messages(settings.system, parent);
  const node = conversation.add(parent, { role: "assistant", text: "", reasoning: "", finished: "", stopped: true });
  const asked = { ...settings.request(model), model: model.id, messages }, turn = turnOf(node);
  setRunning(new AbortController());
  toEnd();
  const keeping = setInterval(keep, KEEP_EVERY_MS);
  await keep();
  const failure = await stream(asked, node, () => turn.grow(), running.signal).catch((error) => error);
  clearInterval(keeping);
  const stopped = failure?.name === "AbortError", said = node.text || node.reasoning || node.calls || node.finished;
  node.stopped = stopped;
  if (said) {
    await turn.finish();
  } else {
    undo(node);
  }
  if (conversation.nodes.size) await keep();
  else await forget();
  setRunning(null);
  await meetAgain();
  if (!failure || stopped) return;
  showError(reason(failure), said ? turn.notes : $("log"));
  if (failure.status === 401) askForKey(failure.message);
}

async function send() {
  if (!model) await meet();
  const text = $("text").value.trim(), sent = files.all, typed = $("text").value;
  if (!(text || sent.length) || running || files.reading) return;
  if (!model) { showError($("model").textContent); return; }
  const before = conversation.leaf;
  const mine = conversation.add(before, { role: "user", text, files: sent });
  $("text").value = "";
  files.set([]);
  await answer(mine.id, (its) => {
    // The message goes back to where it can be changed and sent again.
    takeBack([its, mine], before);
    $("text").value = [typed, $("text").value].filter(Boolean).join("\n");
    files.set([...sent, ...files.all]);
  });
}

const actions = {
  choose(node) {
    conversation.choose(node);
    redraw(); keep(); count();
    turnOf(node).tools.querySelector("button:enabled")?.focus();
  },
  regenerate(node) {
    const before = conversation.leaf;
    answer(node.parent, (its) => takeBack([its], before));
  },
  edit(node, text) {
    const before = conversation.leaf;
    const mine = conversation.add(node.parent, { role: "user", text, files: node.files || [] });
    answer(mine.id, (its) => {
      takeBack([its, mine], before);
      setTimeout(() => turnOf(node).edit(text, actions.edit));
    });
  },
  async branch(node) {
    show(conversation.fork(node));
    await keep();
    showShelf();
    $("text").focus();
  },
  results(node, texts) {
    const added = node.calls.map((call, i) => conversation.add(
      conversation.leaf, { role: "tool", text: texts[i], call_id: call.id }));
    answer(conversation.leaf, (its) => {
      takeBack([its, ...added], node.id);
    });
  },
};

/* What the person does */

$("form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
$("text").addEventListener("input", count);
$("stop").addEventListener("click", () => { running.abort(); $("text").focus(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !document.querySelector("dialog[open]")) running.abort();
});
$("new").addEventListener("click", startAnew);
$("models").addEventListener("change", async () => {
  localStorage.setItem(MODEL, $("models").value);
  model = { ...model, id: $("models").value, status: {} };
  count();
  await meet();
  $("text").focus();
});
$("export-json").addEventListener("click", () =>
  download("conversation.json", "application/json", conversation.toJson(settings.system, model?.id)));
$("export-markdown").addEventListener("click", () =>
  download("conversation.md", "text/markdown", conversation.toMarkdown(settings.system, model?.id || "The model")));
watchFiles(files);
watchKey(() => { meet(); $("text").focus(); });

await settings.load().catch(() => {});
const asked = location.hash.slice(1);
if (asked) await openKept(asked);
showShelf();
meet();
