/** Elements of the page, made from a tag, properties and children. */

/**
 * Return a new element. Properties are set as attributes, but `on…` functions as listeners, and `class`.
 *
 * A property that is null or false is left out; true sets an empty attribute. Children are elements and texts; null is
 * left out.
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
