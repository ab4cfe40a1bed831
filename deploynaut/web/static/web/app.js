// Small conveniences on every page; each page works without them.

const said = document.getElementById("said");

function say(words) {
  if (said) said.textContent = words;
}

// Copy buttons: there only where they can work.
function showCopyButtons(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button[data-copy][hidden]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button[data-copy]");
  if (button) {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.dataset.done = "";
    say("Copied.");
    setTimeout(() => delete button.dataset.done, 1500);
  }
  // A menu closes when something else is pressed.
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.activeElement?.closest?.("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// Time goes by: elapsed times and progress bars are counted here, from the server's clock.
let ahead = 0;

export function setClock(root) {
  const clock = root.querySelector("[data-now]");
  if (clock) ahead = Date.now() / 1000 - Number(clock.dataset.now);
}

function inWords(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
}

function tick() {
  const now = Date.now() / 1000 - ahead;
  for (const place of document.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, Math.floor(now - Number(place.dataset.since)));
    if (place instanceof HTMLProgressElement) place.value = Math.min(seconds, place.max * 0.95);
    else place.textContent = inWords(seconds);
  }
  for (const place of document.querySelectorAll("[data-until]")) {
    place.textContent = inWords(Math.max(0, Math.floor(Number(place.dataset.until) - now)));
  }
}

export function refresh(root) {
  showCopyButtons(root);
  setClock(root);
  tick();
}

refresh(document);
setInterval(tick, 1000);
