// Builds elements. Text goes in as text: nothing of a file's name or of an answer is ever markup.

export const $ = (selector) => document.querySelector(selector);

/** Make an element: properties, `aria`, `on`, `style`, and children (elements, text, or null for none). */
export function h(tag, { aria, on, style, ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  for (const [name, listener] of Object.entries(on ?? {})) element.addEventListener(name, listener);
  for (const [name, value] of Object.entries(style ?? {})) element.style.setProperty(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Make a function that runs `work` at most once per frame, however often it is called. */
export function oncePerFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
}

const numbers = new Intl.NumberFormat("en");

export const plural = (count, word) => `${numbers.format(count)} ${word}${count === 1 ? "" : "s"}`;

/** A label set's names for people; file formats keep them as they are. */
export const spoken = (label) => label.replaceAll(/[-_]/g, " ");
