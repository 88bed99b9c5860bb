// Owns what a flame graph does in a browser: the script inside the file, and the measures that both sides go by.

/** Space left and right of the frames, in pixels. */
export const MARGIN = 10;
/** Width of a character of the frames' font: 12 pixels high, and 0.6 of that wide in every common fixed font. */
export const CHARACTER_WIDTH = 7.25;
/** Pixels of a frame beside its text. */
export const TEXT_MARGIN = 6;
/** How far below a frame's upper edge the line is that its text stands on. */
export const BASELINE = 11.5;
/** Fewest characters of a text that is cut: less says nothing. */
export const LEAST_TEXT = 3;

/**
 * The script. It reads names out of the file's `<title>` elements and shows them as text only, so that nothing in a
 * name can become markup or code. Frames are in the order outer before inner, then from left to right: that makes
 * the matched share one pass.
 *
 * `fit` is `fitText()` of flame_graph.ts once more; a test in a browser holds them side by side.
 */
export const FLAME_GRAPH_SCRIPT: string = String.raw`
"use strict";
(() => {
  const svg = document.currentScript.parentNode;
  const alone = svg === document.documentElement;
  const part = (name) => svg.querySelector("." + name);
  const [bar, details, matched, reset, seek] = ["bar", "details", "matched", "reset", "search"].map(part);
  const near = 0.001;
  const frames = Array.from(part("frames").children, (g) => {
    const [title, rect, text] = g.children;
    const [x, y, w] = ["x", "y", "width"].map((name) => Number(rect.getAttribute(name)));
    const [name, share] = title.textContent.split("\n");
    return { g, rect, text, x, y, w, name, share };
  });
  const all = frames[0];
  const byElement = new Map(frames.map((frame) => [frame.g, frame]));
  let term = "";

  const fit = (text, width) => {
    const room = Math.floor((width - ${TEXT_MARGIN}) / ${CHARACTER_WIDTH});
    let used = 0, cut = 0;
    for (const one of text) {
      used += one >= "\u1100" ? 2 : 1;
      if (used > room) return room < ${LEAST_TEXT} ? "" : text.slice(0, cut) + "\u2026";
      if (used < room) cut += one.length;
    }
    return text;
  };
  const place = (frame, x, w) => {
    frame.rect.setAttribute("x", x);
    frame.rect.setAttribute("width", w);
    const label = fit(frame.name, w);
    if (!frame.text && label) {
      frame.text = document.createElementNS(svg.namespaceURI, "text");
      frame.text.setAttribute("y", frame.y + ${BASELINE});
      frame.g.append(frame.text);
    }
    if (frame.text) {
      frame.text.setAttribute("x", x + ${TEXT_MARGIN / 2});
      frame.text.textContent = label;
    }
  };
  const zoom = (to) => {
    for (const frame of frames) {
      const { x, y, w, g } = frame;
      const within = y <= to.y && x >= to.x - near && x + w <= to.x + to.w + near;
      const around = y > to.y && x <= to.x + near && x + w >= to.x + to.w - near;
      g.classList.toggle("hidden", !within && !around);
      g.classList.toggle("dim", around);
      if (within) place(frame, all.x + (x - to.x) * all.w / to.w, w * all.w / to.w);
      if (around) place(frame, all.x, all.w);
    }
    reset.classList.toggle("off", to === all);
  };
  const search = (text) => {
    term = text;
    const plain = text.toLowerCase();
    let pattern;
    try {
      pattern = new RegExp(text, "i");
    } catch {
      // Not a regular expression: plain text alone.
    }
    let end = 0, sum = 0;
    for (const { g, x, w, name } of frames) {
      const found = text !== "" && g !== all.g && (name.toLowerCase().includes(plain) || !!pattern?.test(name));
      g.classList.toggle("match", found);
      if (!found || x < end - near) continue;
      sum += w;
      end = x + w;
    }
    matched.textContent = text === "" ? "" : "matched: " + (100 * sum / all.w).toFixed(2) + " %";
  };
  const ask = () => {
    const text = prompt("Search for (text or regular expression; nothing to end the search):", term);
    if (text !== null) search(text);
  };
  const over = (event) => byElement.get(event.target.closest(".frames > g"));

  svg.addEventListener("click", (event) => {
    const frame = over(event);
    if (frame) zoom(frame);
  });
  svg.addEventListener("mouseover", (event) => {
    const frame = over(event);
    const room = Math.floor((all.w - 320) / ${CHARACTER_WIDTH}) - (frame ? frame.share.length + 3 : 0);
    const cut = frame && frame.name.length > room;
    const name = cut ? frame.name.slice(0, Math.max(room, 9)) + "\u2026" : frame?.name;
    details.textContent = frame ? name + " \u00b7 " + frame.share : "";
  });
  for (const [button, act] of [[reset, () => zoom(all)], [seek, ask]]) {
    button.addEventListener("click", act);
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      act();
    });
    button.setAttribute("tabindex", "0");
    button.setAttribute("role", "button");
    button.removeAttribute("visibility");
  }
  svg.setAttribute("role", "group");
  svg.classList.add("live");
  zoom(all);
  if (!alone) return;

  addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      zoom(all);
      search("");
    } else if (event.key === "F3" || ((event.ctrlKey || event.metaKey) && event.key === "f")) {
      event.preventDefault();
      ask();
    }
  });
  // The line with the details stays in sight where the picture is higher than the window.
  const height = Number(svg.getAttribute("height"));
  const stick = () => {
    const below = height - scrollY - visualViewport.height;
    bar.setAttribute("transform", "translate(0," + -Math.max(0, below) + ")");
  };
  addEventListener("scroll", stick);
  addEventListener("resize", stick);
  scrollTo(0, height);
  stick();
})();
`;

/** What the script's classes look like; the still picture needs none of it. */
export const FLAME_GRAPH_STYLE: string = `
.hidden, .off { display: none }
.dim { opacity: 0.55 }
.match rect { fill: #e78bf5 }
.live .frames g, .live .button { cursor: pointer }
.live .frames g:hover rect { stroke: #000; stroke-width: 0.7 }
.live .button:hover, .live .button:focus { text-decoration: underline; outline: none }
`;
