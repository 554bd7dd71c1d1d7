/** Takes on their way to the service: one after another, and none is forgotten until the service has it. */

export class Takes {
  /**
   * `send(take)` stores a take, `{number, …}`, and returns a promise of the answer. `changed(take, answer)` is called
   * when a take is stored, and with null when it could not be: then the take stays in `waiting`, with its `error`.
   */
  constructor(send) {
    this.send = send;
    this.changed = () => {};
    this.waiting = [];
    this.sending = false;
  }

  /** Return the takes that could not be stored. */
  get failed() {
    return this.waiting.filter((take) => take.error);
  }

  add(take) {
    this.waiting.push(take);
    return this.run();
  }

  /** Try to store all takes that wait, each once; takes of one number stay in their order. */
  async run() {
    if (this.sending) return;
    this.sending = true;
    const [tried, blocked] = [new Set(), new Set()];
    for (;;) {
      const take = this.waiting.find((one) => !tried.has(one) && !blocked.has(one.number));
      if (!take) break;
      tried.add(take);
      take.error = null;
      let answer = null;
      try {
        answer = await this.send(take);
        this.waiting = this.waiting.filter((one) => one !== take);
      } catch (error) {
        take.error = error;
        blocked.add(take.number);
      }
      this.changed(take, answer);
    }
    this.sending = false;
  }
}
