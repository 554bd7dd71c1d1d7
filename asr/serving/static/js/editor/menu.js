/** A menu below a button or a field: arrow keys, Enter, Escape. */

import { make } from "../elements.js";

/**
 * Open a menu beside an element. Items are `{label, act, heading, disabled, hint, dir}`; a heading cannot be chosen.
 *
 * `closed()` is called when nothing was chosen.
 */
export function openMenu(anchor, label, items, closed = () => {}) {
  const menu = make("div", { class: "menu", role: "menu", "aria-label": label });
  let open = true;
  const close = (act = null) => {
    if (!open) return;
    open = false;
    document.removeEventListener("pointerdown", outside, true);
    menu.remove();
    (act ?? closed)();
  };
  const outside = (event) => {
    if (!menu.contains(event.target)) close();
  };
  for (const { label: text, act, heading, disabled, hint, dir } of items) {
    if (heading) menu.append(make("div", { class: "heading", role: "presentation" }, text));
    else {
      menu.append(
        make(
          "button",
          { type: "button", role: "menuitem", tabindex: -1, disabled, onclick: () => close(act) },
          make("span", { dir: dir ?? null }, text),
          hint ? make("kbd", {}, hint) : null,
        ),
      );
    }
  }
  menu.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const choices = [...menu.querySelectorAll("button:not(:disabled)")];
    const place = choices.indexOf(document.activeElement);
    const places = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: -1 };
    if (event.key in places) choices.at(places[event.key] % choices.length)?.focus();
    else if (event.key === "Escape" || event.key === "Tab") close();
    else return;
    event.preventDefault();
  });
  document.addEventListener("pointerdown", outside, true);
  document.body.append(menu);
  const box = anchor.getBoundingClientRect();
  const left = Math.min(box.left, innerWidth - menu.offsetWidth - 8);
  const below = box.bottom + menu.offsetHeight < innerHeight;
  menu.style.left = `${Math.max(8, left) + scrollX}px`;
  menu.style.top = `${Math.max(8, below ? box.bottom + 4 : box.top - menu.offsetHeight - 4) + scrollY}px`;
  menu.querySelector("button:not(:disabled)")?.focus({ preventScroll: true });
}
