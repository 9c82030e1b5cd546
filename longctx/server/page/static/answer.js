// One answer, streamed into its node.

import { showPrefill } from "./bar.js";
import { $ } from "./dom.js";
import { ask, events, ServerError } from "./server.js";

/* Call `grown` whenever the node has more; the node has what is known even where this throws. */
export async function stream(body, node, grown, signal) {
  const reply = await ask("/v1/chat/completions", {
    ...body, stream: true, stream_options: { include_usage: true },
  }, { signal });
  for await (const block of events(reply)) {
    const progress = /^: prefill (\d+)\/(\d+)/.exec(block);
    if (progress) { showPrefill(+progress[1], +progress[2]); continue; }
    if (!block.startsWith("data: {")) continue;
    const chunk = JSON.parse(block.slice(6));
    if (chunk.error) throw new ServerError(200, block.slice(6));
    node.usage = chunk.usage || node.usage;
    node.report = chunk.longctx || node.report;
    for (const { delta, finish_reason: finished } of chunk.choices) {
      node.finished = finished || node.finished;
      if (!take(delta, node)) continue;
      $("prefill").hidden = true;
      grown();
    }
  }
  if (!node.finished) throw new Error("the answer broke off: the server ended the connection");
}

function take(delta, node) {
  node.reasoning += delta.reasoning_content || "";
  node.text += delta.content || "";
  for (const { index, id, function: called } of delta.tool_calls || []) {
    node.calls ||= [];
    const call = node.calls[index] ||= { id: "", name: "", arguments: "" };
    call.id ||= id || "";
    call.name ||= called?.name || "";
    call.arguments += called?.arguments || "";
  }
  return Boolean(delta.reasoning_content || delta.content || delta.tool_calls);
}
