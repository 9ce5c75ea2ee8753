// A model as anywidget hands one to a view, over a comm that goes nowhere: what the kernel would have got is in `sent`.
export class MockModel {
  constructor(snapshot) {
    this.state = { snapshot, ref: "model-1" };
    this.handlers = [];
    this.sent = [];
    this.obeys = true; // whether commands are replied to
    this.comm_live = true;
    this.widget_manager = { get_model: async () => this };
  }
  get(name) {
    return this.state[name];
  }
  on(name, handler) {
    this.handlers.push([name, handler]);
  }
  off(name, handler) {
    this.handlers = this.handlers.filter(([a, b]) => !(a === name && b === handler));
  }
  emit(name, ...args) {
    for (const [each, handler] of [...this.handlers]) if (each === name) handler(...args);
  }
  send(command) {
    this.sent.push(command);
    if (this.obeys) queueMicrotask(() => this.reply(command, null));
  }
  reply(command, problem) {
    this.emit("msg:custom", { reply: command.request, problem });
  }
  show(snapshot) {
    this.set("snapshot", snapshot);
  }
  set(name, value) {
    this.state[name] = value;
    this.emit(`change:${name}`);
  }
}

// The same with a real view of Python behind it: `window.kernel(name, command)` gives what the kernel sent in turn.
export class KernelModel extends MockModel {
  constructor(name, state) {
    super(state.snapshot);
    Object.assign(this.state, state, { ref: name });
    this.name = name;
  }
  send(command) {
    this.sent.push(command);
    if (this.obeys) window.kernel(this.name, command).then((messages) => this.take(messages));
  }
  take(messages) {
    for (const { state, content } of messages) {
      if (content) this.emit("msg:custom", content);
      Object.assign(this.state, state);
      for (const name of Object.keys(state ?? {})) this.emit(`change:${name}`);
    }
  }
}
