/** Problems that a user can understand: their message is shown as it is. */

export class Problem extends Error {
  /** `kind` names the problem for programs, so that a page can use words of its own. */
  constructor(message, kind = null) {
    super(message);
    this.kind = kind;
  }
}

export class ServerProblem extends Problem {}
