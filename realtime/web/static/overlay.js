// The overlay: one picture that never ends, asked for again when it does.

import { enterByAddress } from "/static/session.js";

const AGAIN_MS = 1000;
const picture = document.getElementById("picture");
const asked = new URLSearchParams(location.search);
const format = asked.get("format") === "jpeg" ? "jpg" : "webp";
if (asked.has("fit")) picture.className = asked.get("fit");
if (asked.has("w") && asked.has("h")) {
  picture.style.width = `${asked.get("w")}px`;
  picture.style.height = `${asked.get("h")}px`;
}
asked.delete("format");

const load = () => { picture.src = `/overlay.${format}?${asked}`; };
const again = () => {
  picture.removeAttribute("src"); // nothing, rather than the last picture for ever
  setTimeout(load, AGAIN_MS);
};
picture.addEventListener("error", again);
await enterByAddress();
load();
