// A socket to this gateway by hand. Without a device key the handshake is refused, and says why.
"use strict";
const part = (id) => document.getElementById(id);
let socket = null;

function note(text) {
  part("log").textContent += `${new Date().toISOString()} ${text}\n`;
}

function send(text) {
  if (socket?.readyState !== WebSocket.OPEN) return note("not connected");
  socket.send(text);
  note(`> ${text}`);
}

part("connect").addEventListener("click", () => {
  socket?.close();
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const opened = new WebSocket(`${scheme}://${location.host}/ws`);
  opened.addEventListener("open", () => note("open"));
  opened.addEventListener("message", (event) => note(`< ${event.data}`));
  opened.addEventListener("close", (event) => note(`closed ${event.code} ${event.reason}`));
  opened.addEventListener("error", () => note("error"));
  socket = opened;
});
part("disconnect").addEventListener("click", () => socket?.close(1000));
part("clear").addEventListener("click", () => {
  part("log").textContent = "";
});
part("frame").addEventListener("click", () => {
  const client = { id: "debug-ws-test", version: "0", mode: "webchat", platform: "web" };
  const params = { minProtocol: 3, maxProtocol: 4, client, role: "operator", scopes: [] };
  send(JSON.stringify({ type: "req", id: "1", method: "connect", params }));
});
part("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send(part("text").value);
});
