// What @a2a-js/sdk does with our agents: `node official_js.mjs URL`, one line of JSON for each thing tried.
import { CancelTaskRequest, GetTaskRequest, ListTasksRequest, SendMessageRequest, StreamResponse, SubscribeToTaskRequest, Task } from "@a2a-js/sdk";
import { ClientFactory, ClientFactoryOptions, JsonRpcTransportFactory, RestTransportFactory } from "@a2a-js/sdk/client";
import { randomUUID } from "node:crypto";

const [base, binding] = process.argv.slice(2);
const transport = binding === "HTTP+JSON" ? new RestTransportFactory() : new JsonRpcTransportFactory();
const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, { transports: [transport], preferredTransports: [binding] });
const factory = new ClientFactory(options);
const say = (text, more = {}, configuration = {}) =>
  SendMessageRequest.fromJSON({ message: { messageId: randomUUID(), role: "ROLE_USER", parts: [{ text }], ...more }, configuration });
const task = (answer) => {
  const plain = Task.toJSON(answer?.payload?.value ?? answer);
  return { id: plain.id, state: plain.status?.state, context: plain.contextId, text: (plain.artifacts ?? []).flatMap((one) => one.parts).map((part) => part.text ?? "").join("") };
};
const state = (event) => StreamResponse.toJSON(event).statusUpdate?.status?.state ?? "";

async function check(name, act) {
  try {
    console.log(JSON.stringify({ name, ...(await act()) }));
  } catch (error) {
    console.log(JSON.stringify({ name, ok: false, said: String(error).slice(0, 200) }));
  }
}

const client = async (agent) => factory.createFromUrl(`${base}/agents/${agent}/`, ".well-known/agent-card.json");
const echo = await client("echo");
await check("card", async () => ({ ok: (await echo.getAgentCard()).name === "echo" }));
await check("send", async () => {
  const { state: end, text } = task(await echo.sendMessage(say("你好")));
  return { ok: end === "TASK_STATE_COMPLETED" && text === "你好", said: `${end} ${text}` };
});
await check("plain message", async () => {
  const answer = await (await client("plain")).sendMessage(say("x"));
  return { ok: JSON.stringify(answer).includes("plain x") };
});
await check("stream", async () => {
  const seen = [];
  for await (const event of (await client("everything")).sendMessageStream(say("x"))) seen.push(event);
  return { ok: seen.length > 8 && state(seen.at(-1)) === "TASK_STATE_COMPLETED", said: `${seen.length} events` };
});
await check("get and list", async () => {
  const sent = task(await echo.sendMessage(say("x")));
  const got = task(await echo.getTask(GetTaskRequest.fromJSON({ id: sent.id })));
  const listed = await echo.listTasks(ListTasksRequest.fromJSON({ contextId: sent.context }));
  return { ok: got.id === sent.id && listed.tasks.length === 1 };
});
await check("question and answer", async () => {
  const asker = await client("asker");
  const asked = task(await asker.sendMessage(say("day")));
  const done = task(await asker.sendMessage(say("Friday", { taskId: asked.id, contextId: asked.context })));
  return { ok: asked.state === "TASK_STATE_INPUT_REQUIRED" && done.id === asked.id && done.text === "Friday", said: done.text };
});
await check("subscribe and cancel", async () => {
  const gated = await client("gated");
  const sent = task(await gated.sendMessage(say(`js ${binding}`, {}, { returnImmediately: true })));
  const seen = [];
  for await (const event of gated.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id: sent.id }))) {
    seen.push(event);
    if (seen.length === 1) await gated.cancelTask(CancelTaskRequest.fromJSON({ id: sent.id }));
  }
  return { ok: state(seen.at(-1)) === "TASK_STATE_CANCELED", said: `${seen.length} events` };
});
await check("an error by its kind", async () => {
  try {
    await echo.getTask(GetTaskRequest.fromJSON({ id: "ctx.none" }));
  } catch (error) {
    return { ok: error.constructor.name.includes("TaskNotFound") || /not found/i.test(String(error)), said: error.constructor.name };
  }
  return { ok: false };
});
