/** The shell of the page: which view the address shows, the navigation, and messages that all views share. */

import { api } from "./api.js";
import { direction, language, t } from "./strings.js";
import { show as edit } from "./views/edit.js";
import { show as next } from "./views/next.js";
import { show as record } from "./views/record.js";
import { show as recordings } from "./views/recordings.js";
import { show as train } from "./views/train.js";

// Views by the first part of the address after `#/`; those with a name in the navigation have `place`.
const VIEWS = {
  recordings: { show: recordings, place: "place.recordings" },
  edit: { show: edit },
  record: { show: record, place: "place.record", folder: true },
  train: { show: train, place: "place.train", folder: true },
  next: { show: next, place: "place.next", folder: true },
};
const FIRST = "recordings";

const element = (id) => document.getElementById(id);
let leave = () => {}; // the clean-up of the view that is shown
let turn = 0; // counts the views shown: a view whose loading is overtaken by another is dropped

/** What all views may use: the state of the service, messages, and the address of another view. */
const session = {
  version: "",
  models: [],
  model: null, // the model that a view has chosen for the next transcriptions
  folder: null,
  formats: [],
  train: false,

  /** Ask the service for its state again, for example after a training. */
  async refresh() {
    Object.assign(session, await api.get("api/session"));
  },

  /** Say something that went well or goes on; screen readers read it when they are idle. */
  say(message) {
    element("status").textContent = message;
  },

  /** Say what went wrong, until the next call or view; null removes it. */
  complain(message) {
    element("problem").hidden = !message;
    element("problem").textContent = message ?? "";
  },
};

/** Decode a part of the address; a part that somebody has typed wrongly stays as it is. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function place() {
  const [, name = FIRST, ...rest] = location.hash.split("/");
  return { name: name in VIEWS ? name : FIRST, params: { id: rest.map(decoded).join("/") } };
}

function navigate(name) {
  const links = Object.entries(VIEWS).filter(([, view]) => view.place && (session.folder !== null || !view.folder));
  element("places").replaceChildren(
    ...links.map(([view, { place: key }]) => {
      const link = document.createElement("a");
      link.href = `#/${view}`;
      link.textContent = t(key);
      if (view === name) link.setAttribute("aria-current", "page");
      return link;
    }),
  );
}

async function show() {
  const mine = ++turn;
  const { name, params } = place();
  // A view may refuse to be left: it returns false, and has put the address back.
  if ((await leave()) === false) return;
  leave = () => {};
  session.complain(null);
  session.say("");
  navigate(name);
  const root = document.createElement("div");
  root.className = `view ${name}`;
  element("view").replaceChildren(root);
  document.title = VIEWS[name].place ? `${t(VIEWS[name].place)} · ${t("title")}` : t("title");
  try {
    const cleanUp = (await VIEWS[name].show(root, { api, t, session, params })) ?? (() => {});
    if (mine === turn) leave = cleanUp;
    else cleanUp();
  } catch (error) {
    if (mine === turn) session.complain(error.message);
    if (error.name !== "Problem") throw error;
  }
}

async function start() {
  document.documentElement.lang = language;
  document.documentElement.dir = direction;
  element("title").textContent = t("title");
  element("skip").textContent = t("skip");
  element("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address names the view
    element("view").focus();
  });
  element("places").setAttribute("aria-label", t("places"));
  try {
    await session.refresh();
  } catch (error) {
    session.complain(error.message);
    return;
  }
  window.addEventListener("hashchange", show);
  window.addEventListener("unhandledrejection", ({ reason }) => {
    if (reason?.name !== "AbortError") session.complain(reason?.message ?? String(reason));
  });
  await show();
}

start();
