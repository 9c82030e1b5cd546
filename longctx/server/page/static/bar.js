// The window: how full it is, and what became of it.

import { $, n } from "./dom.js";

const seconds = (s) => (s < 10 ? s.toPrecision(2) : n(Math.round(s)));
export const how = ({ method, scale }) => method === "none" ? "unscaled" : `${method}, scale ${+scale.toFixed(3)}`;

function show(prompt, answer, nCtx, trained) {
  const share = (tokens) => `${Math.min(100, 100 * tokens / nCtx)}%`;
  $("bar-prompt").style.width = share(prompt);
  $("bar-answer").style.width = share(answer);
  $("bar-trained").style.left = share(trained);
  $("bar-trained").hidden = trained >= nCtx;
  $("n-prompt").textContent = n(prompt);
  $("n-answer").textContent = n(answer);
  $("n-window").textContent = n(nCtx);
  $("n-trained").textContent = n(trained);
  $("bar").setAttribute("aria-valuemax", nCtx);
  $("bar").setAttribute("aria-valuenow", prompt + answer);
  $("bar").setAttribute("aria-valuetext", `${n(prompt + answer)} of ${n(nCtx)} tokens`);
}

/* Before anything was answered. */
export function showEmpty({ longctx, max_model_len: most }) {
  const { window, method, scale, n_ctx_train: trained } = longctx, elastic = window === "elastic";
  if (!method) {  // it was never open
    $("state").textContent = "opened at its first message";
    if (most) show(0, 0, most, most);
    return;
  }
  $("state").textContent = !elastic || trained >= most ? how({ method, scale })
    : `unscaled; grows by ${method} up to ${n(most)}`;
  show(0, 0, elastic ? Math.min(trained, most) : most, trained);
}

/* Tokens of the text that have no cell of their own any more. */
function missing({ dropped_tokens: dropped, compressed_tokens: thinned = 0, kept_share: share = 1 }) {
  return dropped + Math.round(thinned * (1 - share));
}

/* After an answer. */
export function showFill({ longctx }, { usage, report: { window } }) {
  $("state").textContent = how(window)
    + (window.dropped_tokens ? `, ${n(window.dropped_tokens)} tokens dropped` : "")
    + (window.compressed_tokens ? `, ${n(window.compressed_tokens)} tokens compressed` : "");
  show(Math.max(0, usage.prompt_tokens - missing(window)), usage.completion_tokens,
    window.n_ctx, longctx.n_ctx_train ?? window.n_ctx);
}

/* What became of the window since the answer before, in sentences; none where nothing did. */
export function changes(window, before) {
  const said = [], from = window.grew_from ?? (before ? before.n_ctx : window.n_ctx);
  if (from !== window.n_ctx) {
    said.push(`The window ${from < window.n_ctx ? "grew" : "went"} from ${n(from)} to ${n(window.n_ctx)} tokens: ${how(window)}.`);
  } else if (before && how(before) !== how(window)) {
    said.push(`It was ${how(before)}, it is ${how(window)}.`);
  }
  if (window.dropped_tokens) said.push(`${n(window.dropped_tokens)} of the oldest tokens were dropped.`);
  if (window.compressed_tokens) said.push(`Of ${n(window.compressed_tokens)} of the oldest tokens ${(100 * window.kept_share).toFixed(0)} % are left.`);
  if (window.method_changed) said.push(window.method_changed);
  return said.join(" ");
}

/* What an answer cost, in a line. */
export function cost({ usage, report: { timings, window, finish_detail: detail }, finished, limit }) {
  const cached = usage.prompt_tokens_details.cached_tokens;
  const parts = [
    `${n(cached)} cached`,
    `${n(usage.prompt_tokens - cached)} prefilled in ${seconds(timings.prefill_s)} s`,
    `${n(usage.completion_tokens)} generated`,
  ];
  if (timings.decode_s > 0) parts[2] += ` at ${(usage.completion_tokens / timings.decode_s).toFixed(1)}/s`;
  const thought = usage.completion_tokens_details?.reasoning_tokens;
  if (thought) parts[2] += `, ${n(thought)} of them thoughts`;
  const full = usage.total_tokens - missing(window) >= limit - 1;
  if (detail === "repetition") parts.push("cut, because it repeated itself");
  else if (finished === "length") {
    parts.push(full ? "no more room in the window" : `cut after ${n(usage.completion_tokens)} tokens`);
  }
  return parts.join(" · ");
}

export function showPrefill(done, total) {
  $("prefill").hidden = false;
  $("progress").max = total;
  $("progress").value = done;
  $("prefill-text").textContent = `reading the prompt: ${n(done)} of ${n(total)} tokens`;
}
