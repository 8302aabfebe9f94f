// The page: camera in, painted picture out, and everything that can be turned.

import { bySocket, byWebRTC } from "/static/link.js";
import { Knobs } from "/static/knobs.js";
import { enter, enterByAddress, request, socket } from "/static/session.js";

const $ = (id) => document.getElementById(id);
const forced = new URLSearchParams(location.search).get("via"); // webrtc or socket; else what works
const TURN_MS = 40, SECOND_MS = 1000, GOING_AWAY = 1001;

let media = null, link = null, control = null, knobs = null, stats = {}, about = null;
let recorder = null, shown = 0;
let onStage = "", heard = 0; // who is on stage, and when that was heard
const gone = new Map(); // why streams have ended
let stream = "stage"; // whose knobs the page turns: its own camera's once that runs

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

// --- knobs

let pending = {}, turning = 0;
function turn(changes) {
  if ("style" in changes) delete pending.mix;
  if ("mix" in changes) delete pending.style;
  Object.assign(pending, changes);
  turning ||= setTimeout(() => {
    turning = 0;
    if (control?.readyState === WebSocket.OPEN) {
      control.send(JSON.stringify({ stream, set: pending }));
    }
    pending = {};
  }, TURN_MS);
}

function listen() {
  control = socket("/api/control");
  control.addEventListener("message", (event) => {
    const news = JSON.parse(event.data);
    if (news.error) say(news.error, true);
    if (news.ended) {
      gone.set(news.stream, news.ended);
      if (link && news.stream === stream) stop(news.ended, true);
      return;
    }
    if (news.stage) [onStage, heard] = [news.stream, performance.now()];
    if (news.stream !== (stream === "stage" ? onStage : stream)) return;
    if (news.stats) stats = news.stats;
    if (news.knobs && !turning) showKnobs(news.knobs);
  });
  control.addEventListener("close", (event) => {
    if (event.code === GOING_AWAY && link) stop("the server has ended", true);
    setTimeout(listen, SECOND_MS);
  });
}

function showKnobs(state) {
  knobs.show(state);
  $("divide").setAttribute("aria-pressed", String(state.divider !== null));
}

async function takeKnobs() {
  showKnobs(await request("GET", `/api/streams/${stream}/knobs`));
}

// --- the camera

async function open() {
  const chosen = $("cameras").value;
  media = await navigator.mediaDevices.getUserMedia({
    audio: false,
    video: {
      width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 },
      ...(chosen ? { deviceId: { exact: chosen } } : { facingMode: "user" }),
    },
  });
  $("camera").srcObject = media;
  await listCameras();
}

async function listCameras() {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((d) => d.kind === "videoinput");
  const chosen = media?.getVideoTracks()[0]?.getSettings().deviceId ?? "";
  $("cameras").replaceChildren(
    ...found.map((d, i) => new Option(d.label || `Camera ${i + 1}`, d.deviceId)));
  if (found.some((d) => d.deviceId === chosen)) $("cameras").value = chosen;
}

async function start() {
  $("start").disabled = true;
  try {
    say("Asking for the camera…");
    if (!navigator.mediaDevices) {
      throw new Error("the browser gives its camera to https or localhost only: start the server with --tls");
    }
    await open();
    say("Connecting…");
    await connect();
  } catch (error) {
    stop(error.name === "NotAllowedError" ? "the camera was not allowed" : error.message, true);
  }
  $("start").disabled = false;
}

async function connect() {
  let why = "";
  if (forced !== "socket") {
    try {
      link = await byWebRTC(media);
    } catch (error) {
      if (forced === "webrtc" || [400, 401, 403, 429, 503].includes(error.status)) throw error;
      why = error.message;
    }
  }
  link ??= await bySocket(media, $("camera"), $("canvas"));
  const ours = link;
  stream = link.name;
  if (gone.has(stream)) throw new Error(gone.get(stream));
  $("feed").hidden = true;
  $("feed").removeAttribute("src");
  $("empty").hidden = true;
  $("painted").hidden = !link.stream;
  $("canvas").hidden = Boolean(link.stream);
  $("painted").srcObject = link.stream;
  await takeKnobs();
  $("start").textContent = "Stop camera";
  $("snapshot").disabled = $("record").disabled = false;
  say(link.via === "WebRTC" ? "Painting."
    : `Painting by WebSocket, one picture at a time${why ? `, since WebRTC failed: ${why}` : ""}.`);
  ours.ended.then((reason) => { if (link === ours) stop(reason, true); });
}

function stop(reason = "Stopped.", wrong = false) {
  recorder?.stop();
  link?.close();
  link = null;
  for (const track of media?.getTracks() ?? []) track.stop();
  media = $("camera").srcObject = $("painted").srcObject = null;
  stream = "stage";
  stats = {};
  $("painted").hidden = $("canvas").hidden = true;
  $("empty").hidden = false;
  $("start").textContent = "Start camera";
  $("snapshot").disabled = $("record").disabled = true;
  say(wrong ? `Stopped: ${reason}.` : reason, wrong);
  heard = 0;
  showStage(false);
}

// What somebody else sends, or the server by itself, while no camera of this page runs.
async function showStage(alive) {
  await takeKnobs().catch(() => {});
  if (link) return;
  $("feed").hidden = !alive;
  $("empty").hidden = alive;
  if (alive) $("feed").src = `/feed.mjpg?${Date.now()}`;
  else $("feed").removeAttribute("src");
}

// --- the picture

const view = () => (link?.stream ? $("painted") : $("canvas"));

function count() {
  const again = () => { shown += 1; $("painted").requestVideoFrameCallback(again); };
  if ($("painted").requestVideoFrameCallback) $("painted").requestVideoFrameCallback(again);
  $("canvas").addEventListener("drawn", () => { shown += 1; });
  setInterval(async () => {
    const fps = shown;
    shown = 0;
    if (!link) {
      const alive = heard && performance.now() - heard < 3 * SECOND_MS;
      if (alive === $("feed").hidden) showStage(alive);
      $("figures").textContent = alive && stats.fps
        ? `${stats.fps.toFixed(0)} frames a second on stage` : "\u00a0";
      return;
    }
    const inside = link.via === "WebRTC" ? stats.latency_ms || 0 : 0;
    const way = Math.round((await link.latency()) + inside);
    const size = view().videoWidth ? [view().videoWidth, view().videoHeight] : [view().width, view().height];
    $("figures").textContent =
      `${fps} frames a second · about ${way} ms there and back · ${size[0]}×${size[1]} · ${link.via}`;
  }, SECOND_MS);
}

function picture() {
  const canvas = document.createElement("canvas"), source = view();
  canvas.width = source.videoWidth || source.width;
  canvas.height = source.videoHeight || source.height;
  canvas.getContext("2d").drawImage(source, 0, 0);
  return canvas;
}

function save(blob, ending) {
  const address = URL.createObjectURL(blob);
  const name = new Date().toISOString().slice(0, 19).replaceAll(/[:T]/g, "-");
  Object.assign(document.createElement("a"), { href: address, download: `stylize-${name}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function record() {
  if (recorder) return recorder.stop();
  const parts = [];
  recorder = new MediaRecorder(link.stream ?? $("canvas").captureStream(30));
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.addEventListener("stop", () => {
    save(new Blob(parts, { type: "video/webm" }), "webm");
    recorder = null;
    $("record").setAttribute("aria-pressed", "false");
    $("record").textContent = "Record";
  });
  recorder.start(1000);
  $("record").setAttribute("aria-pressed", "true");
  $("record").textContent = "Stop recording";
}

function dragDivider() {
  const frame = $("frame");
  const move = (event) => {
    if (knobs.state.divider === null || !(event.buttons & 1)) return;
    const box = frame.querySelector(".painted-half").getBoundingClientRect();
    const size = view().videoWidth ? view().videoWidth / view().videoHeight : view().width / view().height || 4 / 3;
    const width = Math.min(box.width, box.height * size);
    const at = (event.clientX - box.left - (box.width - width) / 2) / width;
    turn({ divider: Math.round(1000 * Math.min(1, Math.max(0, at))) / 1000 });
  };
  frame.addEventListener("pointerdown", move);
  frame.addEventListener("pointermove", move);
}

// --- pictures as styles

async function paintLike(file) {
  try {
    say("Learning the picture…");
    const answer = await request("POST", "/api/paintings", file, file.type || "application/octet-stream");
    knobs.setStyles(await request("GET", "/api/styles"));
    turn({ style: answer.style });
    say("Painting like your picture.");
  } catch (error) {
    say(error.message, true);
  }
}

function takePictures() {
  $("painting").hidden = !about.paintings;
  $("picture").addEventListener("change", () => {
    if ($("picture").files[0]) paintLike($("picture").files[0]);
    $("picture").value = "";
  });
  const body = document.body;
  body.addEventListener("dragover", (event) => {
    event.preventDefault();
    body.classList.toggle("dropping", about.paintings);
  });
  body.addEventListener("dragleave", () => body.classList.remove("dropping"));
  body.addEventListener("drop", (event) => {
    event.preventDefault();
    body.classList.remove("dropping");
    if (about.paintings && event.dataTransfer.files[0]) paintLike(event.dataTransfer.files[0]);
  });
}

// --- the beginning

async function letIn() {
  await enterByAddress();
  for (;;) {
    try {
      return await request("GET", "/api/about");
    } catch (error) {
      if (error.status !== 401) throw error;
    }
    await new Promise((resolve) => {
      $("door").addEventListener("close", resolve, { once: true });
      $("door").showModal();
    });
    $("wrong").textContent = (await enter($("token").value)) ? "" : "This is not the token.";
    $("token").value = "";
  }
}

async function begin() {
  about = await letIn();
  knobs = new Knobs($("knobs"), $("styles"), about, turn);
  knobs.setStyles(await request("GET", "/api/styles"));
  $("overlay").textContent = `${location.origin}/overlay?w=1280&h=720`;
  listen();
  takePictures();
  dragDivider();
  count();
  $("start").addEventListener("click", () => (link ? stop() : start()));
  $("cameras").addEventListener("change", async () => { if (link) { stop(); await start(); } });
  $("snapshot").addEventListener("click", () => picture().toBlob((blob) => save(blob, "png"), "image/png"));
  $("record").addEventListener("click", record);
  $("full").addEventListener("click", () =>
    document.fullscreenElement ? document.exitFullscreen() : $("frame").requestFullscreen());
  $("beside").addEventListener("click", () => {
    $("original").hidden = !$("original").hidden;
    $("beside").setAttribute("aria-pressed", String(!$("original").hidden));
  });
  $("divide").addEventListener("click", () => turn({ divider: knobs.state.divider === null ? 0.5 : null }));
  await showStage(false);
  say("Ready.");
}

begin().catch((error) => say(error.message, true));
