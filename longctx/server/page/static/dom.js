// Small helpers over the document. What comes from files, from the model and from the server is
// shown by textContent alone; markdown.js is the one place that makes markup.

export const $ = (id) => document.getElementById(id);
export const n = (count) => count.toLocaleString("en");

export function make(kind, className = "", text = "") {
  const node = document.createElement(kind);
  node.className = className;
  node.textContent = text;
  return node;
}

export function button(text, action, { label = "", className = "" } = {}) {
  const node = make("button", className, text);
  node.type = "button";
  if (label) node.setAttribute("aria-label", label);
  node.addEventListener("click", () => action(node));
  return node;
}

/* Do something that changes what there is to read, and stay at its end if that was seen. */
export function following(change) {
  const log = $("log"), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  change();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

export function showError(message, place = $("log")) {
  const node = make("p", "error", message);
  node.setAttribute("role", "alert");
  place.append(node);
  $("log").scrollTop = $("log").scrollHeight;
}

export function download(name, kind, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/* What is copied; without the clipboard's own interface (a page over plain HTTP) by selection. */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const held = make("textarea", "", "");
  held.value = text;
  document.body.append(held);
  held.select();
  document.execCommand("copy");
  held.remove();
}
