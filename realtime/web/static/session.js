// Requests to the server, and the token where it asks for one.
// The token comes behind the # of the address, which browsers never send, and leaves it at once.

export async function enter(token) {
  const answer = await fetch("/api/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  return answer.ok;
}

export async function enterByAddress() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.search);
  await enter(decodeURIComponent(found[1]));
}

export async function request(method, path, body, kind = "application/json") {
  const options = { method };
  if (body !== undefined) {
    options.headers = { "Content-Type": kind };
    options.body = kind === "application/json" ? JSON.stringify(body) : body;
  }
  const answer = await fetch(path, options);
  if (answer.status === 204) return null;
  const content = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(content.error), { status: answer.status });
  return content;
}

export function socket(path) {
  return new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`);
}
