// One turn of the conversation, as it is shown: thoughts folded, text, calls, files, what it cost.

import { changes, cost } from "./bar.js";
import { button, copy, following, make } from "./dom.js";
import { label } from "./files.js";
import { Markdown } from "./markdown.js";

const WHO = { user: "You", tool: "Result of a tool" };

function folded(title, text, className) {
  const box = make("details", className), pre = make("pre", "", text);
  pre.tabIndex = 0;
  box.append(make("summary", "quiet", title), pre);
  return box;
}

/* Arguments as they are written: whole JSON is indented, a piece of it stands as it is. */
function indented(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

export class Turn {
  constructor(node, model) {
    this.node = node;
    this.place = make("article", `turn ${node.role}`);
    this.place.setAttribute("aria-label", WHO[node.role] || model);
    this.text = make("div", "text");
    this.calls = make("div", "calls");
    this.notes = make("div", "notes");
    this.tools = make("div", "tools row");
    this.place.append(
      make("p", "who quiet", WHO[node.role] || model), this.text, this.calls, this.notes, this.tools);
    this.markdown = node.role === "assistant" ? new Markdown(this.text) : null;
    this.thoughts = null;
    this.place.addEventListener("keydown", (event) => this.#escape(event));
  }

  /* Show all of what was said, which is there from the beginning. */
  showWhole() {
    const { role, text, files, reasoning, calls } = this.node;
    if (role !== "assistant") {
      this.text.textContent = text;
      this.text.hidden = !text;
      for (const file of files || []) this.notes.append(folded(label(file), file.text, "file"));
      return;
    }
    if (reasoning) this.#think(reasoning, "Thoughts");
    if (calls) this.#call(calls);
    if (text) this.markdown.finish(text);
  }

  /* Show what there is of an answer under way. */
  grow() {
    const { text, reasoning, calls } = this.node;
    following(() => {
      if (reasoning) this.#think(reasoning, text || calls ? "Thoughts" : "Thinking …");
      if (text) this.markdown.show(text);
      if (calls) this.#call(calls);
    });
  }

  /* It is whole. */
  async finish() {
    if (this.thoughts) this.thoughts.firstChild.textContent = "Thoughts";
    if (this.node.text) await this.markdown.finish(this.node.text);
  }

  /* What it cost and what became of the window, beside the answer before. */
  showNotes(before, limit) {
    const { usage, report, stopped } = this.node, notes = [];
    if (usage && report) {
      notes.push(make("p", "note quiet report", cost({ ...this.node, limit })));
      const said = changes(report.window, before?.report?.window);
      if (said) notes.push(make("p", "note quiet changed", said));
    }
    if (stopped) notes.push(make("p", "note quiet", "stopped"));
    if (this.node.role === "assistant") this.notes.replaceChildren(...notes);
  }

  /* What can be done with it. */
  showTools({ versions, isLast, actions }) {
    const node = this.node, tools = [];
    if (versions.length > 1) {
      const at = versions.indexOf(node);
      const step = (by, mark, name) => {
        const it = button(mark, () => actions.choose(versions[at + by]), { label: name, className: "small" });
        it.disabled = !versions[at + by];
        return it;
      };
      tools.push(step(-1, "‹", "Earlier version"),
        make("span", "quiet versions", `${at + 1} of ${versions.length}`), step(1, "›", "Later version"));
    }
    tools.push(button("Copy", async (it) => {
      await copy(node.text);
      it.textContent = "Copied";
      setTimeout(() => { it.textContent = "Copy"; }, 1500);
    }, { label: "Copy this message", className: "small copy" }));
    const more = {
      user: [["Edit", () => this.edit(node.text, actions.edit)]],
      assistant: [["Regenerate", () => actions.regenerate(node)], ["Branch", () => actions.branch(node)]],
      tool: [],
    }[node.role];
    for (const [name, action] of more) tools.push(button(name, action, { className: "small" }));
    this.tools.replaceChildren(...tools);
    this.place.querySelector("form.results")?.remove();
    if (isLast && node.calls?.length) this.#askForResults(actions);
  }

  /* Write the message anew. */
  edit(text, send) {
    this.place.querySelector("form.edit")?.remove();
    const form = make("form", "edit"), field = make("textarea", "", "");
    field.value = text;
    field.rows = Math.min(12, text.split("\n").length + 1);
    field.setAttribute("aria-label", "The message, edited");
    const row = make("div", "row"), ok = make("button", "main", "Send edited");
    ok.type = "submit";
    row.append(make("span", "grow"), button("Cancel", () => this.#endEdit()), ok);
    form.append(field, row);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const said = field.value.trim();
      if (!said && !this.node.files?.length) return;
      this.#endEdit();
      send(this.node, said);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    this.text.hidden = this.tools.hidden = true;
    this.text.after(form);
    field.focus();
  }

  #endEdit() {
    this.place.querySelector("form.edit")?.remove();
    this.text.hidden = !this.node.text;
    this.tools.hidden = false;
    [...this.tools.querySelectorAll("button")].find((it) => it.textContent === "Edit")?.focus();
  }

  #escape(event) {
    if (event.key !== "Escape" || !this.place.querySelector("form.edit")) return;
    event.stopPropagation();
    this.#endEdit();
  }

  #think(text, title) {
    if (!this.thoughts) {
      this.thoughts = make("details", "thoughts");
      this.thoughts.append(make("summary", "quiet", title), make("p", "thought"));
      this.text.before(this.thoughts);
    }
    this.thoughts.firstChild.textContent = title;
    this.thoughts.lastChild.textContent = text;
  }

  #call(calls) {
    calls.forEach((call, i) => {
      if (!this.calls.children[i]) {
        const box = folded("", "", "call");
        box.open = true;
        this.calls.append(box);
      }
      const [title, pre] = this.calls.children[i].children;
      title.textContent = `Calls the tool ${call.name}`;
      pre.textContent = indented(call.arguments);
    });
  }

  #askForResults(actions) {
    const form = make("form", "results"), send = make("button", "main", "Send results");
    send.type = "submit";
    const fields = this.node.calls.map((call, i, { length }) => {
      const label = make("label", "quiet", `What ${call.name} answered` + (length > 1 ? ` (call ${i + 1})` : "")), field = make("textarea");
      field.rows = 2;
      label.append(field);
      form.append(label);
      return field;
    });
    const row = make("div", "row");
    row.append(make("span", "grow"), send);
    form.append(row);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      actions.results(this.node, fields.map((field) => field.value));
    });
    this.notes.after(form);
  }
}

