// Makes the pages livelier; all of them work without it.
"use strict";

const news = document.getElementById("news");

// Fragments that are fetched again while somebody looks

async function refresh(part) {
  if (document.hidden || part.contains(document.activeElement)) return;
  try {
    const response = await fetch(part.dataset.refresh, { credentials: "same-origin", cache: "no-store" });
    if (response.status === 401) return location.reload();
    if (response.ok) {
      part.innerHTML = await response.text();
      news.textContent = "";
    } else {
      news.textContent = "The store does not answer; trying again.";
    }
  } catch {
    news.textContent = "The console does not answer; trying again.";
  }
  document.body.classList.toggle("stale", news.textContent !== "");
}

for (const part of document.querySelectorAll("[data-refresh]")) {
  setInterval(() => refresh(part), Number(part.dataset.every) * 1000);
  document.addEventListener("visibilitychange", () => refresh(part));
}

// Choosing rows

for (const form of document.querySelectorAll("[data-picking]")) {
  const boxes = [...form.querySelectorAll('[name="pick"]')];
  const all = form.querySelector("[data-all]");
  const which = form.querySelector('[name="which"]');
  const say = () => {
    const number = boxes.filter((box) => box.checked).length;
    all.checked = number === boxes.length;
    all.indeterminate = number > 0 && number < boxes.length;
    which.options[0].textContent = number ? `${number} selected` : "Selected";
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    say();
  });
  form.addEventListener("change", say);
  say();
}

// Keys: / to the filter, j and k through the rows, x to choose one

function step(by) {
  const rows = [...document.querySelectorAll("main .rows tbody th a, main summary")];
  const links = rows.length ? rows : [...document.querySelectorAll("main tbody th a")];
  if (!links.length) return;
  const row = document.activeElement.closest("tr, details");
  const now = links.findIndex((link) => row && row.contains(link));
  const next = links[Math.min(links.length - 1, Math.max(0, now + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

const keys = {
  "/": () => document.querySelector(".filter input, .filter select")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  x: () => document.activeElement.closest("tr")?.querySelector('[name="pick"]')?.click(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
  if (typing && event.key === "Escape") return typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});
