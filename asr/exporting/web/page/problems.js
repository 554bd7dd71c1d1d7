/** Problems that a user can understand: their message is shown as it is. */

export class Problem extends Error {}

export class ServerProblem extends Problem {}
