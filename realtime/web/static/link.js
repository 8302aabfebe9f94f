// The way of a camera to the server and back: WebRTC, or pictures by WebSocket where that fails.

import { request, socket } from "/static/session.js";

const CONNECT_MS = 5000;
const JPEG_QUALITY = 0.85;
const RATE = 30;

const until = (target, event, ready, limit) =>
  new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("it took too long")), limit);
    const look = () => {
      if (!ready()) return;
      clearTimeout(late);
      target.removeEventListener(event, look);
      resolve();
    };
    target.addEventListener(event, look);
    look();
  });

// Gives {name, via, stream, close(), ended: Promise<string>, latency(): Promise<ms>}.
export async function byWebRTC(media) {
  const peer = new RTCPeerConnection({ iceServers: [] });
  try {
    const [track] = media.getVideoTracks();
    track.contentHint = "motion";
    const sender = peer.addTrack(track, media);
    const painted = new Promise((resolve) => {
      peer.addEventListener("track", (event) => {
        event.receiver.jitterBufferTarget = 0; // the newest frame, not the smoothest
        resolve(new MediaStream([event.track]));
      });
    });
    await peer.setLocalDescription();
    await until(peer, "icegatheringstatechange", () => peer.iceGatheringState === "complete", 2000)
      .catch(() => {});
    const answer = await request("POST", "/api/offer", { sdp: peer.localDescription.sdp });
    await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    const settings = sender.getParameters();
    settings.degradationPreference = "maintain-resolution";
    for (const encoding of settings.encodings) encoding.maxBitrate = 4_000_000;
    await sender.setParameters(settings).catch(() => {});
    const failed = new Promise((_, reject) => {
      peer.addEventListener("connectionstatechange", () => {
        if (peer.connectionState === "failed") reject(new Error("no way through the network"));
      });
    });
    await Promise.race([
      until(peer, "connectionstatechange", () => peer.connectionState === "connected", CONNECT_MS),
      failed,
    ]);
    failed.catch(() => {});
    const ended = new Promise((resolve) => {
      const look = () => {
        if (["failed", "closed", "disconnected"].includes(peer.connectionState)) {
          resolve("the connection was lost");
        }
      };
      peer.addEventListener("connectionstatechange", look);
    });
    return {
      name: answer.stream,
      via: "WebRTC",
      stream: await painted,
      ended,
      close: () => peer.close(),
      latency: () => wayThrough(peer),
    };
  } catch (error) {
    peer.close();
    throw error;
  }
}

// Milliseconds on the network and in this browser's receiver, by its own figures.
async function wayThrough(peer) {
  let total = 0;
  for (const entry of (await peer.getStats()).values()) {
    if (entry.type === "candidate-pair" && entry.nominated) {
      total += 1000 * (entry.currentRoundTripTime || 0);
    }
    if (entry.type === "inbound-rtp" && entry.framesDecoded) {
      total += (1000 * (entry.totalProcessingDelay || 0)) / entry.framesDecoded;
    }
    if (entry.type === "outbound-rtp" && entry.framesEncoded) {
      total += (1000 * (entry.totalEncodeTime || 0)) / entry.framesEncoded;
    }
  }
  return total;
}

export async function bySocket(media, camera, canvas) {
  const link = socket("/api/frames");
  link.binaryType = "blob";
  const small = document.createElement("canvas");
  const pen = small.getContext("2d", { alpha: false });
  const target = canvas.getContext("2d", { alpha: false });
  let sent = 0, way = 0, open = true, end;
  const ended = new Promise((resolve) => { end = resolve; });

  const send = async () => {
    if (!open) return;
    const wait = sent + 1000 / RATE - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const { videoWidth: width, videoHeight: height } = camera;
    if (!width) return setTimeout(send, 50);
    small.width = width;
    small.height = height;
    pen.drawImage(camera, 0, 0);
    sent = performance.now();
    const blob = await new Promise((resolve) => small.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
    if (open && blob) link.send(blob);
  };
  const name = await new Promise((resolve, reject) => {
    link.addEventListener("error", () => reject(new Error("the server can't be reached")));
    link.addEventListener("close", () => reject(new Error("the server closed")));
    link.addEventListener("message", async (event) => {
      if (typeof event.data === "string") {
        const content = JSON.parse(event.data);
        if (content.error) {
          reject(new Error(content.error));
          end(content.error);
        } else resolve(content.stream);
        return;
      }
      const picture = await createImageBitmap(event.data);
      if (canvas.width !== picture.width || canvas.height !== picture.height) {
        canvas.width = picture.width;
        canvas.height = picture.height;
      }
      target.drawImage(picture, 0, 0);
      picture.close();
      way = performance.now() - sent;
      canvas.dispatchEvent(new Event("drawn"));
      send();
    });
  });
  link.addEventListener("close", () => { open = false; end("the connection was lost"); });
  send();
  return {
    name,
    via: "WebSocket",
    stream: null,
    ended,
    close: () => { open = false; link.close(); },
    latency: async () => way,
  };
}
