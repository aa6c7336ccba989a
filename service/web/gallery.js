// All chips as a list of cards: one is selected, arrow keys walk. Draws what changed, once per frame.

import { corrections } from "./chips.js";
import { h, oncePerFrame, plural, spoken } from "./dom.js";

const REARRANGE_MS = 400; // while answers come in, cards must not jump all the time
const NEAR = "600px"; // so far from the screen, a card's picture is fetched

export class Gallery {
  #cards = new Map(); // chip → its card's elements
  #chipOf = new WeakMap(); // and back
  #stale = new Set();
  #rearranging = 0;

  /**
   * `open(chip)` is called when a person asks for a chip, not merely walks past it; `see(chip)` when its
   * card comes near the screen.
   */
  constructor({ list, count }, chips, { open, see }) {
    Object.assign(this, { list, count, chips, open });
    this.near = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          if (!isIntersecting) continue;
          see(this.#chipOf.get(target));
          this.near.unobserve(target);
        }
      },
      { rootMargin: NEAR },
    );
    const draw = oncePerFrame(() => this.#draw());
    chips.addEventListener("added", ({ detail }) => {
      for (const chip of detail) this.#cards.set(chip, this.#card(chip));
      this.#touch(detail, draw);
      this.#arrange();
    });
    chips.addEventListener("changed", ({ detail }) => {
      this.#touch([detail], draw);
      this.#arrangeSoon();
    });
    chips.addEventListener("selected", () => this.#mark());
    chips.addEventListener("serving", () => this.#touch(chips.all, draw));
    chips.addEventListener("arranged", () => {
      this.#touch(chips.all, draw);
      this.#arrange();
    });
    chips.addEventListener("cleared", () => {
      this.#cards.clear();
      this.#stale.clear();
      this.#arrange();
    });
    list.addEventListener("keydown", (event) => this.#walk(event));
  }

  /** Move the keyboard to the selected card, or else to the first. */
  focus() {
    (this.list.querySelector("[aria-selected=true]") ?? this.list.firstElementChild)?.focus();
  }

  #touch(chips, draw) {
    for (const chip of chips) this.#stale.add(chip);
    draw();
  }

  #card(chip) {
    const picture = h("img", { alt: "", decoding: "async", draggable: false });
    picture.addEventListener("error", () => picture.removeAttribute("src")); // not what its first bytes promised
    const frame = h("span", { className: "thumb" }, picture);
    const name = h("span", { className: "name", textContent: chip.name, title: chip.name });
    const labels = h("span", { className: "labels" });
    const card = h("div", { className: "card", id: `chip-${chip.id}`, tabIndex: -1 }, frame, name, labels);
    card.setAttribute("role", "option");
    card.addEventListener("click", () => {
      this.chips.select(chip);
      this.open(chip);
    });
    this.#chipOf.set(card, chip);
    this.near.observe(card);
    return { card, picture, labels };
  }

  #draw() {
    for (const chip of this.#stale) {
      const { card, picture, labels } = this.#cards.get(chip);
      if (chip.picture && picture.dataset.of !== chip.picture) picture.src = picture.dataset.of = chip.picture;
      card.dataset.state = chip.state;
      labels.replaceChildren(...this.#words(chip));
    }
    this.#stale.clear();
    this.#mark();
  }

  #words(chip) {
    const { label, sort } = this.chips.view;
    if (chip.state === "failed") return [h("span", { className: "bad", textContent: chip.problem.title })];
    if (!chip.prediction) return [h("span", { textContent: chip.state === "running" ? "…" : "" })];
    const words = [];
    const earlier = this.chips.earlier(chip);
    if (earlier) words.push(h("span", { className: "version", textContent: `version ${earlier}` }), " ");
    const { warnings } = chip.prediction;
    if (warnings?.length) words.push(h("span", { className: "warned", title: warnings.join("\n"), textContent: "warning" }), " ");
    const wrong = corrections(chip).length;
    if (chip.truth) {
      const verdict = wrong ? `${wrong} corrected` : "right";
      words.push(h("span", { className: wrong ? "verdict bad" : "verdict good", textContent: verdict }), " ");
    }
    if (label || sort !== "added") {
      const [what, number] =
        sort === "disagreement"
          ? ["apart", this.chips.disagreement(chip, label)]
          : [label ? spoken(label) : "highest", this.chips.probability(chip, label)];
      words.push(h("span", { className: "number", textContent: `${what} ${number.toFixed(2)}` }), " ");
    }
    words.push([...(chip.truth ?? chip.prediction.labels)].map(spoken).join(", ") || "no label");
    return words;
  }

  #arrangeSoon() {
    const { show, sort, within } = this.chips.view;
    if (show === "all" && sort === "added" && !within) return;
    this.#rearranging ||= setTimeout(() => this.#arrange(), REARRANGE_MS);
  }

  #arrange() {
    clearTimeout(this.#rearranging);
    this.#rearranging = 0;
    const shown = this.chips.shown();
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    let at = this.list.firstElementChild;
    for (const chip of shown) {
      const { card } = this.#cards.get(chip);
      if (card === at) at = at.nextElementSibling;
      else this.list.insertBefore(card, at);
    }
    while (at) {
      const gone = at;
      at = at.nextElementSibling;
      gone.remove();
    }
    if (focused?.isConnected) focused.focus({ preventScroll: true });
    else if (focused) this.focus();
    const all = this.chips.all.length;
    this.count.textContent = shown.length === all ? plural(all, "chip") : `${shown.length} of ${plural(all, "chip")}`;
    this.#mark();
  }

  /** Show which card is selected; it, or else the first, is the one that the Tab key reaches. */
  #mark() {
    const selected = this.#cards.get(this.chips.selected)?.card;
    const reached = selected?.isConnected ? selected : this.list.firstElementChild;
    for (const card of this.list.children) {
      if (card.ariaSelected !== String(card === selected)) card.ariaSelected = card === selected;
      if (card.tabIndex !== (card === reached ? 0 : -1)) card.tabIndex = card === reached ? 0 : -1;
    }
  }

  #walk(event) {
    const shown = [...this.list.children].map((card) => this.#chipOf.get(card)); // as they lie just now
    const at = shown.indexOf(this.#chipOf.get(document.activeElement));
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -at, End: shown.length };
    if (event.key === "Enter" || event.key === " ") {
      this.chips.select(shown[at]);
      this.open(shown[at]);
    } else if (event.key in steps) {
      const next = shown[Math.min(shown.length - 1, Math.max(0, at + steps[event.key]))];
      this.chips.select(next);
      this.focus();
    } else {
      return;
    }
    event.preventDefault();
  }
}
