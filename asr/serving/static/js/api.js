/** Requests to the service: JSON in and out, uploads with progress, errors as one kind of exception. */

import { t } from "./strings.js";

/** A request that failed: a message for people, the HTTP status (0: no answer), and the answer if there was one. */
export class Problem extends Error {
  constructor(message, status = 0, answer = null) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.answer = answer;
  }
}

/** Return the part of an address that names a recording: its path, each part of it encoded. */
export function encoded(id) {
  return id.split("/").map(encodeURIComponent).join("/");
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Return the exception for an answer that is no success. */
function problem(status, text) {
  const answer = parsed(text);
  return new Problem(answer?.error?.message ?? t("problem.answer", { status }), status, answer);
}

async function request(method, path, options = {}) {
  let response;
  try {
    response = await fetch(path, { method, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(t("problem.unreachable"));
  }
  if (!response.ok) throw problem(response.status, await response.text());
  return response;
}

async function json(method, path, body, options = {}) {
  if (body !== undefined) {
    options = { ...options, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  }
  const response = await request(method, path, options);
  return response.status === 204 ? null : response.json();
}

/**
 * Send a form or a Blob with `POST`, and report how much of it is sent, in 0..1; return the answer.
 *
 * fetch does not report the progress of an upload.
 */
function upload(path, body, report = () => {}) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", path);
    sending.upload.onprogress = ({ loaded, total }) => report(total ? loaded / total : 0);
    sending.onerror = () => reject(new Problem(t("problem.unreachable")));
    sending.onload = () => {
      if (sending.status < 300) resolve(parsed(sending.responseText) ?? sending.responseText);
      else reject(problem(sending.status, sending.responseText));
    };
    sending.send(body);
  });
}

/** Wait until a job has ended; `report(job)` gets each of its states. Throws Problem if it failed or `signal` aborts. */
async function job(id, report = () => {}, signal = undefined) {
  for (let wait = 250; ; wait = Math.min(wait * 1.3, 2000)) {
    const state = await json("GET", `api/jobs/${encoded(id)}`, undefined, { signal });
    report(state);
    if (state.state === "done") return state;
    if (state.state === "failed") throw new Problem(state.message ?? t("problem.job"));
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

export const api = {
  get: (path, options) => json("GET", path, undefined, options),
  put: (path, body, options) => json("PUT", path, body, options),
  post: (path, body, options) => json("POST", path, body, options),
  raw: (path, options) => request("GET", path, options),
  upload,
  job,
  encoded,
};
