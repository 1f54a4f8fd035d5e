"use strict";
(() => {
  const body = document.body;
  const remembered = (name, value) => {
    try { return value === undefined ? localStorage.getItem(name) : localStorage.setItem(name, value); } catch { return null; }
  };

  const button = document.getElementById("theme");
  const isDark = () => (body.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = isDark() ? "Light colours" : "Dark colours"; };
  const saved = remembered("qorch-theme");
  if (saved === "dark" || saved === "light") body.dataset.theme = saved;
  button.hidden = false;
  name();
  button.addEventListener("click", () => {
    body.dataset.theme = isDark() ? "light" : "dark";
    remembered("qorch-theme", body.dataset.theme);
    name();
  });

  // A figure's table is what its tooltip reads from: nothing is on the page twice.
  const make = (kind, parent, text) => {
    const node = parent.appendChild(document.createElement(kind[0]));
    node.className = kind[1];
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const hide = figure => figure.querySelectorAll(".tip,.hair").forEach(node => node.remove());
  const point = event => {
    const svg = event.target.closest("svg[data-plot]");
    document.querySelectorAll("figure").forEach(other => { if (!svg || !other.contains(svg)) hide(other); });
    if (!svg) return;
    const figure = svg.closest("figure"), rows = figure.querySelectorAll("tr[data-place]");
    if (!rows.length) return;
    const isAcross = figure.dataset.axis === "x";
    const [left, top, right, bottom] = svg.dataset.plot.split(" ").map(Number);
    const frame = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect();
    const scale = frame.width / svg.viewBox.baseVal.width;
    const place = isAcross ? ((event.clientX - frame.left) / scale - left) / (right - left)
      : ((event.clientY - frame.top) / scale - top) / (bottom - top);
    hide(figure);
    if (place < -0.02 || place > 1.02) return;
    let best = rows[0];
    rows.forEach(row => { if (Math.abs(row.dataset.place - place) < Math.abs(best.dataset.place - place)) best = row; });
    const at = Number(best.dataset.place), hair = make(["div", "hair"], figure), tip = make(["div", "tip"], figure);
    const box = isAcross
      ? [frame.left - outer.left + (left + at * (right - left)) * scale, frame.top - outer.top + top * scale, 1, (bottom - top) * scale]
      : [frame.left - outer.left + left * scale, frame.top - outer.top + (top + at * (bottom - top)) * scale, (right - left) * scale, 1];
    ["left", "top", "width", "height"].forEach((side, index) => { hair.style[side] = box[index] + "px"; });
    const heads = figure.querySelectorAll("thead th");
    [...best.cells].forEach((cell, index) => {
      if (cell.textContent === "–") return;
      const line = make(["div", ""], tip);
      make(["span", ""], line, heads[index].textContent);
      make(["span", ""], line, cell.textContent);
    });
    const x = event.clientX - outer.left;
    tip.style.left = Math.max(0, x + 16 + tip.offsetWidth > outer.width ? x - 16 - tip.offsetWidth : x + 16) + "px";
    tip.style.top = Math.max(0, event.clientY - outer.top + 14) + "px";
  };
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);

  const main = document.querySelector("main[data-events]");
  if (!main) return;
  const status = document.getElementById("status");
  const isNarrow = matchMedia("(max-width:640px)");
  let isBusy = false, isStale = false;
  const refresh = async () => {
    // Nobody looks: the run keeps its processors.
    if (isBusy || document.hidden) { isStale = true; return; }
    isBusy = true;
    try {
      // What the page has of jobs and spans stays as it is, unless it was made anew.
      const work = main.querySelector("[data-made]");
      const over = main.querySelector("input[name=over]:checked"), width = isNarrow.matches ? 340 : 960;
      const looked = work ? "&made=" + work.dataset.made + "&width=" + width + (over ? "&over=" + over.id.slice(3) : "") : "";
      const answer = await fetch(main.dataset.part + looked, {cache: "no-store"});
      if (answer.ok) {
        const text = await answer.text();
        const open = [...main.querySelectorAll("details[open][id]")].map(node => node.id);
        const scrolled = [...main.querySelectorAll(".scroll[id]")].map(node => [node.id, node.scrollTop, node.scrollLeft]);
        const chosen = [...main.querySelectorAll("input:checked[id]")].map(node => node.id);
        const focused = document.activeElement && document.activeElement.id;
        const fresh = document.createElement("template");
        fresh.innerHTML = text;
        const now = fresh.content.getElementById("run-now");
        if (work && now && !fresh.content.querySelector("[data-made]")) document.getElementById("run-now").replaceWith(now);
        else main.replaceChildren(fresh.content);
        const each = (ids, use) => ids.forEach(id => { const node = document.getElementById(id); if (node) use(node); });
        each(open, node => { node.open = true; });
        each(chosen, node => { node.checked = true; });
        scrolled.forEach(([id, top, left]) => each([id], node => { node.scrollTop = top; node.scrollLeft = left; }));
        if (focused) each([focused], node => node.focus({preventScroll: true}));
        main.dataset.refreshed = String(Number(main.dataset.refreshed || 0) + 1);
      }
    } catch { status.textContent = "no connection to qorch ui"; }
    isBusy = false;
    if (isStale) { isStale = false; refresh(); }
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && isStale) { isStale = false; refresh(); } });
  // Only what is looked at is drawn.
  isNarrow.addEventListener("change", refresh);
  main.addEventListener("change", event => { if (event.target.name === "over") refresh(); });
  const source = new EventSource(main.dataset.events);
  source.onopen = () => { status.textContent = "live"; };
  source.onerror = () => { status.textContent = "no connection to qorch ui"; };
  source.onmessage = refresh;
})();
