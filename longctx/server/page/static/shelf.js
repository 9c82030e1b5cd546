// The conversations that this browser keeps, in a list beside the one that is read.

import { $, button, make } from "./dom.js";
import { list } from "./store.js";

export class Shelf {
  /* `actions`: open(id), drop(). */
  constructor(actions) {
    this.actions = actions;
    $("shelf-button").addEventListener("click", () => this.toggle());
    $("shelf-close").addEventListener("click", () => { this.toggle(false); $("shelf-button").focus(); });
    $("delete").addEventListener("click", () => this.#askTwice());
    $("delete").addEventListener("blur", () => this.#calm());
    $("shelf").addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !document.body.classList.contains("shelf-open")) return;
      event.stopPropagation();
      this.toggle(false);
      $("shelf-button").focus();
    });
  }

  /* On a narrow screen it lies over the conversation, or is away. */
  toggle(open = !document.body.classList.contains("shelf-open")) {
    document.body.classList.toggle("shelf-open", open);
    $("shelf-button").setAttribute("aria-expanded", open);
    if (open) $("shelf-close").focus();
  }

  async show(currentId, running) {
    const all = await list().catch(() => []);
    $("conversations").replaceChildren(...all.map(({ id, title }) => {
      const item = make("li"), it = button(title || "Untitled", () => { this.toggle(false); this.actions.open(id); });
      it.disabled = running;
      if (id === currentId) it.setAttribute("aria-current", "true");
      item.append(it);
      return item;
    }));
    $("no-conversations").hidden = all.length > 0;
    const isKept = all.some(({ id }) => id === currentId);
    for (const id of ["export-json", "export-markdown", "delete"]) $(id).disabled = running || !isKept;
  }

  #askTwice() {
    if ($("delete").dataset.sure) {
      this.#calm();
      this.actions.drop();
    } else {
      $("delete").dataset.sure = "yes";
      $("delete").textContent = "Delete for good?";
    }
  }

  #calm() {
    delete $("delete").dataset.sure;
    $("delete").textContent = "Delete";
  }
}
