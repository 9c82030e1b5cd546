// A conversation as a tree: to edit or to ask again makes a branch, and none is lost.

const TITLE_LENGTH = 60;

export const draftContent = (text, files) =>
  [...files.map((file) => `File ${file.name}:\n\n${file.text}`), ...(text ? [text] : [])].join("\n\n");

export class Conversation {
  constructor({ id, title = "", changed = 0, nodes = [], leaf = null } = {}) {
    Object.assign(this, { id: id || crypto.randomUUID?.() || String(Math.random()).slice(2), title, changed, leaf });
    this.nodes = new Map(nodes.map((node) => [node.id, node]));
  }

  /* Add what was said after a node (null: at the beginning), and go there. */
  add(parent, said) {
    const node = { ...said, id: this.nodes.size ? Math.max(...this.nodes.keys()) + 1 : 1, parent };
    this.nodes.set(node.id, node);
    this.leaf = node.id;
    if (!this.title && node.role === "user") {
      this.title = (node.text || node.files[0]?.name || "").replace(/\s+/g, " ").slice(0, TITLE_LENGTH);
    }
    return node;
  }

  /* Take back a leaf, and go to another. */
  remove(node, leaf) {
    this.nodes.delete(node.id);
    this.leaf = leaf;
    if (!this.nodes.size) this.title = "";
  }

  /* From the beginning to a node. */
  path(to = this.leaf) {
    const found = [];
    for (let node = this.nodes.get(to); node; node = this.nodes.get(node.parent)) found.unshift(node);
    return found;
  }

  /* What was said in one place, in the order in which it was. */
  versions(node) {
    return [...this.nodes.values()].filter((other) => other.parent === node.parent);
  }

  /* Go to a version, and from there on to what was said last. */
  choose(node) {
    let last = node;
    for (let next = node; next; ) {
      last = next;
      next = [...this.nodes.values()].filter((other) => other.parent === last.id).pop();
    }
    this.leaf = last.id;
  }

  /* A conversation of its own that begins as this does. */
  fork(node) {
    const nodes = this.path(node.id).map((each) => ({ ...each }));
    return new Conversation({ title: this.title, nodes, leaf: node.id });
  }

  /* As it is sent. */
  messages(system, to = this.leaf) {
    return [...(system ? [{ role: "system", content: system }] : []), ...this.path(to).map(asMessage)];
  }

  toRecord() {
    return {
      id: this.id, title: this.title, changed: this.changed, leaf: this.leaf, nodes: [...this.nodes.values()],
    };
  }

  toJson(system, model) {
    return JSON.stringify({ model, messages: this.messages(system), conversation: this.toRecord() }, null, 2);
  }

  toMarkdown(system, model) {
    const parts = [`# ${this.title || "A conversation"}`];
    if (system) parts.push("## System", system);
    for (const node of this.path()) {
      parts.push(`## ${{ user: "You", tool: "Result of a tool" }[node.role] || model}`);
      for (const file of node.files || []) parts.push(`File ${file.name}:`, fenced(file.text));
      if (node.reasoning) parts.push("Thoughts:", node.reasoning.replace(/^/gm, "> "));
      if (node.text) parts.push(node.text);
      for (const call of node.calls || []) parts.push(`Call of \`${call.name}\`:`, fenced(call.arguments, "json"));
    }
    return parts.join("\n\n") + "\n";
  }
}

function asMessage({ role, text, files, reasoning, calls, call_id: id }) {
  if (role === "user") return { role, content: draftContent(text, files) };
  if (role === "tool") return { role, content: text, tool_call_id: id };
  const message = { role, content: text };
  if (reasoning) message.reasoning_content = reasoning;
  if (calls?.length) {
    message.tool_calls = calls.map((call) => ({
      id: call.id, type: "function", function: { name: call.name, arguments: call.arguments },
    }));
  }
  return message;
}

/* A fence that the text does not close. */
function fenced(text, language = "") {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}
