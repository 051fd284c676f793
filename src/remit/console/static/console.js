// What every page needs. Nothing here makes markup out of data.

const MOST_ROWS = 200; // of the live feed: older ones leave the page

// The secret of the one-time link is behind the #, which browsers do not send.
const linked = document.querySelector("[data-from-link]");
if (linked && location.hash.length > 1) {
  linked.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}

const rows = document.getElementById("rows");
const pause = document.getElementById("pause");
if (rows && pause) {
  const state = document.getElementById("state");
  let paused = false;
  let missed = 0;
  const say = () => {
    state.textContent = paused ? `paused, ${missed} new messages` : "following";
  };
  pause.addEventListener("click", () => {
    if (paused) { location.reload(); return; }
    paused = true;
    pause.setAttribute("aria-pressed", "true");
    pause.textContent = "Go on";
    say();
  });
  document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
    if (paused) { event.preventDefault(); missed += 1; say(); }
  });
  document.body.addEventListener("htmx:sseMessage", () => {
    while (rows.rows.length > MOST_ROWS) rows.deleteRow(-1);
  });
  document.body.addEventListener("htmx:sseError", () => { state.textContent = "reconnecting"; });
  document.body.addEventListener("htmx:sseOpen", say);
}

// Times that run down.
for (const element of document.querySelectorAll("[data-until]")) {
  const tick = () => {
    const left = Math.max(0, Number(element.dataset.until) - Date.now() / 1000);
    const minutes = Math.floor(left / 60);
    const seconds = Math.floor(left % 60);
    element.textContent = left <= 0 ? "expired" : minutes >= 60
      ? `${Math.floor(minutes / 60)} h ${minutes % 60} min left`
      : `${minutes}:${String(seconds).padStart(2, "0")} left`;
  };
  tick();
  setInterval(tick, 1000);
}

// A form that must be confirmed asks in its own words.
document.addEventListener("submit", (event) => {
  const words = event.target.dataset.confirm;
  if (words && !window.confirm(words)) event.preventDefault();
});
