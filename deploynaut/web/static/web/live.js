// The page of one deployment while it runs: one stream, from which tiles, facts, title, icon and log follow.

import { refresh } from "./app.js";

const page = document.getElementById("deployment");
const log = document.getElementById("log");
const follow = document.getElementById("follow");
const said = document.getElementById("said");
const LONGEST = 2_000_000;

function scroll() {
  if (follow?.checked) log.scrollTop = log.scrollHeight;
}

function heading() {
  const top = page.querySelector("[data-part=top]");
  const { title, icon, sentence } = top.dataset;
  document.title = title;
  document.querySelector("link[rel=icon]").href = icon;
  if (said.textContent !== sentence) said.textContent = sentence;
}

// The parts are exchanged one by one, and only those that changed: focus and open menus stay.
function draw(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const old = page.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!old || old.outerHTML === part.outerHTML) continue;
    for (const details of old.querySelectorAll("details[open][id]")) {
      const again = part.querySelector(`#${CSS.escape(details.id)}`);
      if (again) again.open = true;
    }
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceWith(document.importNode(part, true));
    if (focused) document.getElementById(focused)?.focus();
  }
  refresh(document);
  heading();
  named();
}

function named() {
  const tile = document.querySelector(`[data-tile="${log.dataset.step}"]`);
  if (tile) document.getElementById("log-name").textContent = tile.dataset.label;
}

// The pane shows the step in hand; the first line of another step begins it anew.
function write({ step, text }) {
  if (step === null) return;
  if (String(step) !== log.dataset.step) {
    log.textContent = "";
    log.dataset.step = step;
    named();
    const raw = document.getElementById("log-raw");
    raw.href = `${raw.dataset.base}?step=${step}&raw=1`;
  }
  log.append(text);
  while (log.textContent.length > LONGEST && log.childNodes.length > 1) log.firstChild.remove();
  scroll();
}

function listen() {
  const stream = new EventSource(`${page.dataset.live}?after=${page.dataset.after}`);
  stream.addEventListener("page", (event) => draw(event.data));
  stream.addEventListener("log", (event) => write(JSON.parse(event.data)));
  stream.addEventListener("end", () => {
    stream.close();
    follow?.closest("label").remove();
  });
  stream.addEventListener("gone", () => {
    stream.close();
    location.reload();
  });
}

scroll();
heading();
if (page.dataset.live) listen();
