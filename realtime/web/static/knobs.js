// Controls for all knobs, made from the table the server has of them.

const TITLES = {
  strength: "Strength", colours: "Own colours", stroke: "Stroke size", mirror: "Mirror",
  freeze: "Freeze", blackout: "Black", divider: "Before / after", mask: "Mask",
};
const NEUTRAL = { stroke: 1, divider: 0.5 };

function element(kind, properties = {}, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

export class Knobs {
  // `turn(changes)` is called with what the person has turned.
  constructor(form, gallery, about, turn) {
    this.form = form;
    this.gallery = gallery;
    this.turn = turn;
    this.state = {};
    this.shown = {}; // how each control is brought to a value
    form.addEventListener("submit", (event) => event.preventDefault());
    const switches = element("div", { className: "switches" });
    for (const [name, knob] of Object.entries(about.knobs)) {
      if (name === "mask" && !about.masks) continue;
      if (knob.kind === "switch") switches.append(this.#switch(name, knob));
      else if (knob.kind === "choice") form.append(this.#choice(name, knob));
      else if (knob.kind === "weights") form.append(this.#weights(name, knob));
      else if (["share", "size", "divider"].includes(knob.kind)) form.append(this.#slider(name, knob));
    }
    form.append(this.#mix(), switches);
  }

  #slider(name, knob) {
    const title = TITLES[name] || name;
    const range = element("input", {
      type: "range", id: `knob-${name}`, title: knob.help, step: 0.01,
    });
    // sizes are felt by their ratio
    const bend = knob.kind === "size"
      ? { to: (v) => Math.log2(v), from: (v) => Number((2 ** v).toFixed(3)) }
      : { to: Number, from: Number };
    range.min = bend.to(knob.low);
    range.max = bend.to(knob.high);
    const output = element("output", { htmlFor: range.id });
    const line = element("div", { className: "knob" });
    const label = element("label", { htmlFor: range.id, textContent: title });
    let pair = range, tick = null;
    if (knob.kind !== "share") { // these can be off
      tick = element("input", { type: "checkbox", id: `knob-${name}-on`, ariaLabel: `${title} on` });
      pair = element("span", { className: "pair" }, tick, range);
      tick.addEventListener("change", () => this.turn({ [name]: tick.checked ? bend.from(range.value) : null }));
    }
    range.addEventListener("input", () => {
      output.textContent = bend.from(range.value).toFixed(2);
      this.turn({ [name]: bend.from(range.value) });
    });
    this.shown[name] = (value) => {
      if (tick) tick.checked = value !== null;
      if (document.activeElement !== range || !range.matches(":active")) {
        range.value = bend.to(value ?? NEUTRAL[name]);
      }
      output.textContent = value === null ? "off" : value.toFixed(2);
    };
    line.append(label, pair, output);
    return line;
  }

  #switch(name, knob) {
    const tick = element("input", { type: "checkbox", id: `knob-${name}`, title: knob.help });
    tick.addEventListener("change", () => this.turn({ [name]: tick.checked }));
    this.shown[name] = (value) => { tick.checked = value; };
    return element("label", { className: "knob" }, tick, TITLES[name] || name);
  }

  #choice(name, knob) {
    const select = element("select", { id: `knob-${name}`, title: knob.help });
    for (const choice of knob.choices) select.append(new Option(choice, choice));
    select.addEventListener("change", () => this.turn({ [name]: select.value }));
    this.shown[name] = (value) => { select.value = value; };
    const label = element("label", { htmlFor: select.id, textContent: TITLES[name] || name });
    return element("div", { className: "knob" }, label, select);
  }

  // A slider for each painting of the run, where there are several: the state tells how many.
  #weights(name, knob) {
    const legend = element("legend", { className: "unseen", textContent: "Weights of the paintings" });
    const box = element("fieldset", { className: "mix", hidden: true }, legend);
    let ranges = [];
    const turn = () => {
      const weights = ranges.map((range) => Number(range.value));
      if (weights.some((weight) => weight > 0)) this.turn({ [name]: weights });
    };
    const line = (_, i) => {
      const range = element("input", {
        type: "range", id: `knob-${name}-${i + 1}`, title: knob.help, min: 0, max: 1, step: 0.01,
      });
      range.addEventListener("input", turn);
      const label = element("label", { htmlFor: range.id, textContent: `Painting ${i + 1}` });
      return element("div", { className: "knob" }, label, range);
    };
    this.shown[name] = (shares) => {
      if (shares.length < 2) return;
      if (!ranges.length) {
        box.append(...shares.map(line));
        ranges = [...box.querySelectorAll("input")];
        box.hidden = false;
      }
      if (ranges.some((range) => range.matches(":active"))) return;
      ranges.forEach((range, i) => { range.value = shares[i]; });
    };
    return box;
  }

  #mix() {
    this.second = element("select", { id: "knob-mix", title: "a second style, laid into the first" });
    this.share = element("input", {
      type: "range", id: "knob-mix-share", min: 0, max: 1, step: 0.01, value: 0.5,
      ariaLabel: "Share of the second style",
    });
    const turn = () => {
      const [first, second] = [this.chosen(), this.second.value];
      if (!second || second === first) return this.turn({ style: first });
      const share = Number(this.share.value);
      this.turn({ mix: { [first]: 1 - share, [second]: share } });
    };
    this.second.addEventListener("change", turn);
    this.share.addEventListener("input", turn);
    const box = element("fieldset", { className: "mix" });
    box.append(
      element("legend", { className: "unseen", textContent: "Mix of two styles" }),
      element("div", { className: "knob" },
        element("label", { htmlFor: "knob-mix", textContent: "Mix with" }), this.second),
      element("div", { className: "knob" },
        element("label", { htmlFor: "knob-mix-share", textContent: "Its share" }), this.share),
    );
    return box;
  }

  chosen() {
    return this.gallery.querySelector("input:checked")?.value ?? this.state.style;
  }

  setStyles(styles) {
    this.gallery.replaceChildren();
    this.second.replaceChildren(new Option("nothing", ""));
    for (const style of styles) {
      const radio = element("input", { type: "radio", name: "style", value: style.name });
      radio.addEventListener("change", () => this.turn({ style: style.name }));
      const picture = style.preview
        ? element("img", { alt: "", loading: "lazy", src: `/api/styles/${encodeURIComponent(style.name)}/preview` })
        : element("div", { className: "none" });
      const about = [style.description, style.credit].filter(Boolean).join("; ");
      this.gallery.append(element("label", { className: "style", title: about }, radio, picture,
        element("span", { textContent: style.title })));
      this.second.append(new Option(style.title, style.name));
    }
    if (this.state.style) this.show(this.state);
  }

  show(state) {
    this.state = state;
    for (const [name, show] of Object.entries(this.shown)) if (name in state) show(state[name]);
    const mixed = Object.entries(state.mix);
    const first = mixed.length ? mixed[0][0] : state.style;
    for (const radio of this.gallery.querySelectorAll("input")) radio.checked = radio.value === first;
    if (!this.share.matches(":active")) {
      this.second.value = mixed.length > 1 ? mixed[1][0] : "";
      if (mixed.length > 1) this.share.value = mixed[1][1];
    }
  }
}
