// Keys of the inbox: j and k move, a and r go to the answer. Enter then gives it.
const items = [...document.querySelectorAll(".inbox a.item")];
const here = items.findIndex((item) => item.hasAttribute("aria-current"));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) {
    // Enter in a pattern is no answer yet.
    if (event.key === "Enter" && event.target.closest("#further")) event.preventDefault();
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const step = { j: 1, k: -1 }[event.key];
  if (step && items.length) {
    const next = items[Math.min(items.length - 1, Math.max(0, here + step))];
    if (next && !next.hasAttribute("aria-current")) next.click();
    event.preventDefault();
  }
  const button = { a: "approve", r: "reject" }[event.key];
  const target = button && document.getElementById(button);
  if (target) { target.focus(); event.preventDefault(); }
});
