// The explorer: draws the graph of the data block, and lets people fold it, search it and step through it.
// All text reaches the page as textContent, never as markup.
"use strict";

const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const MOST_BOXES = 1500; // more would make the browser slow; the page then keeps modules folded and says so
const RAMP = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]; // viridis: even steps, also for colour-blind eyes

const VERDICTS = D.verdicts; // with their colours, worst first
const FOLDED = { sum: "the sum", max: "the greatest", last: "the last op's", worst: "the worst" };

// ---- elements and words ----

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function number(x) {
  if (x === null || x === undefined) return "–";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e5 || size < 1e-3) return x.toExponential(2).replace("e+", "e");
  return String(Number(x.toPrecision(4)));
}

function scaled(x, units) {
  let i = 0;
  while (Math.abs(x) >= 1000 && i + 1 < units.length) [x, i] = [x / 1000, i + 1];
  return `${i ? Number(x.toPrecision(3)) : number(x)}${units[i] ? ` ${units[i]}` : ""}`;
}

const FORMATS = {
  count: (x) => scaled(x, ["", "k", "M", "G", "T"]),
  bytes: (x) => scaled(x, ["B", "kB", "MB", "GB", "TB"]),
  share: (x) => `${Number((100 * x).toPrecision(3))} %`,
  seconds: (x) => (x >= 1 ? `${number(x)} s` : x >= 1e-3 ? `${Number((1e3 * x).toPrecision(3))} ms` : `${Number((1e6 * x).toPrecision(3))} µs`),
  verdict: (x) => x,
  number,
};

const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

const ruler = document.createElement("canvas").getContext("2d");
const family = getComputedStyle(document.body).fontFamily;
function textWidth(text, size, bold) {
  ruler.font = `${bold ? 650 : 400} ${size}px ${family}`;
  return ruler.measureText(text).width;
}

// As much of a text as fits into a width.
function fitted(text, size, bold, most = 250) {
  if (textWidth(text, size, bold) <= most) return text;
  let n = text.length;
  while (n > 1 && textWidth(`${text.slice(0, n)}…`, size, bold) > most) n--;
  return `${text.slice(0, n)}…`;
}

// ---- the data, indexed ----

const nodes = new Map(D.nodes.map((node) => [node.id, node]));
const groups = new Map(D.groups.map((group) => [group.id, { ...group, key: `g${group.id}`, members: [] }]));
const nodeKey = (id) => `n${id}`;
const ops = D.nodes.filter((node) => node.kind === "op");
for (const node of D.nodes) {
  for (let g = node.group; g !== null; g = groups.get(g).parent) groups.get(g).members.push(node);
}
const outgoing = new Map(D.nodes.map((node) => [node.id, []]));
for (const edge of D.edges) outgoing.get(edge.source).push(edge);

// One training step: each op forward, then backward each op that a gradient reached.
const moments = [{ phase: "overview" }];
for (const node of D.has_values ? ops : []) {
  node.forwardAt = moments.length;
  moments.push({ phase: "forward", node });
}
const forwardCount = moments.length - 1;
for (const node of [...ops].reverse()) {
  if (!node.sent || !node.sent.length) continue;
  node.backwardAt = moments.length;
  moments.push({ phase: "backward", node });
}
const backwardCount = moments.length - 1 - forwardCount;

const state = {
  folded: new Set(D.groups.filter((group) => group.folded).map((group) => group.id)),
  selected: null, // the key of a box or of a container
  moment: 0,
  overlay: "",
  gradients: false,
  maps: true,
  query: "",
  hits: [],
  hit: -1,
  view: { k: 1, x: 0, y: 0 },
};
let scene = { boxes: new Map(), containers: new Map(), layout: null };

// The folded group, outermost first, in which a node or a group hides; or the thing itself.
function visibleKey(node) {
  let key = nodeKey(node.id);
  for (let g = node.group; g !== null; g = groups.get(g).parent) if (state.folded.has(g)) key = `g${g}`;
  return key;
}

const membersOf = (key) => (key[0] === "n" ? [nodes.get(Number(key.slice(1)))] : groups.get(Number(key.slice(1))).members);

// ---- overlays ----

const overlay = () => D.overlays.find((o) => o.id === state.overlay);

function overlayValue(o, key) {
  const values = membersOf(key).map((node) => o.values[node.id]).filter((x) => x !== undefined && x !== null);
  if (!values.length) return null;
  if (o.fold === "sum") return values.reduce((a, b) => a + b, 0);
  if (o.fold === "max") return Math.max(...values);
  return o.fold === "last" ? values[values.length - 1] : VERDICTS.find(([verdict]) => values.includes(verdict))?.[0] ?? null;
}

// The colour scale of an overlay over the boxes that are in sight.
function scaleOf(o, keys) {
  const values = [...keys].map((key) => overlayValue(o, key)).filter((x) => x !== null && Number.isFinite(x));
  const most = values.length ? Math.max(...values) : 1;
  const positive = values.filter((x) => x > 0);
  const least = positive.length ? Math.min(...positive) : 0;
  if (o.format === "share") return { low: 0, high: 1, at: (x) => x, value: (t) => t };
  if (positive.length && most / least > 100) {
    const [a, b] = [Math.log10(least), Math.log10(most)];
    return { low: least, high: most, log: true, at: (x) => (x <= least ? 0 : (Math.log10(x) - a) / (b - a)), value: (t) => 10 ** (a + t * (b - a)) };
  }
  const high = most || 1;
  return { low: 0, high, at: (x) => x / high, value: (t) => t * high };
}

function paint(o, scale, value) {
  return o.format === "verdict" ? { fill: VERDICTS.find(([verdict]) => verdict === value)[1], ink: "#000" } : rampAt(scale.at(value));
}

function rampAt(t) {
  const place = Math.min(1, Math.max(0, t)) * (RAMP.length - 1);
  const i = Math.min(RAMP.length - 2, Math.floor(place));
  const channel = (hex, c) => parseInt(hex.slice(1 + 2 * c, 3 + 2 * c), 16);
  const rgb = [0, 1, 2].map((c) => Math.round(channel(RAMP[i], c) + (place - i) * (channel(RAMP[i + 1], c) - channel(RAMP[i], c))));
  const linear = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  const light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return { fill: `rgb(${rgb.join(" ")})`, ink: light > 0.18 ? "#000" : "#fff" };
}

// ---- what stands on a box ----

function faceOf(key) {
  const members = membersOf(key);
  const group = key[0] === "g" ? groups.get(Number(key.slice(1))) : null;
  const one = group ? null : members[0];
  const count = group ? group.parameters : one.parameters;
  const frozen = group ? group.frozen : one.frozen;
  const last = members[members.length - 1];
  const face = {
    key, group, members,
    kind: one ? one.kind : "op",
    family: one ? one.family : ["layer", "composite"].includes(group.kind) ? group.family : "module",
    order: Math.min(...members.map((node) => node.order)),
    title: group ? group.title : one.title,
    words: group ? [group.cls, group.words].filter(Boolean).join(" ") : [one.cls, one.words].filter(Boolean).join(" "),
    note: count ? `${plural(count, "param")}${frozen ? ", frozen" : ""}` : "",
    inside: group ? members.filter((node) => node.kind === "op").length : 0,
    shape: last.shape_text,
    flag: members.some((node) => node.error) ? "failed" : members.some((node) => node.out?.nan) ? "NaN" : members.some((node) => node.out?.inf) ? "inf" : "",
    pictured: state.maps && last.image ? last : null,
  };
  if (one && one.kind !== "op") face.words = one.shape_text;
  if (group && !face.words) face.words = plural(face.inside, "op");
  const o = overlay();
  if (o) {
    face.value = overlayValue(o, key);
    if (face.value !== null) face.note = FORMATS[o.format](face.value);
  }
  face.plain = face.kind === "op" && face.family === "shape only";
  const lines = [face.title, face.words, face.note].filter(Boolean);
  const widest = Math.max(textWidth(fitted(face.title, 13, true), 13, true), ...[face.words, face.note].map((t) => textWidth(fitted(t, 11.5, false), 11.5, false)));
  face.w = Math.max(84, Math.ceil(widest) + 28 + (group ? 14 : 0) + (face.kind === "op" ? 0 : 14));
  face.h = 14 + 15 * lines.length + (lines.length === 1 ? 4 : 0);
  face.stack = group ? 5 : 0;
  face.left = face.w / 2;
  face.right = face.kind === "input" ? 0 : 12 + textWidth(face.shape, 11, false) + 8;
  if (face.pictured) {
    const { w, h } = last.image;
    const zoom = Math.min(150 / w, 52 / h);
    face.map = { w: w * zoom, h: h * zoom };
    face.left += face.map.w + 10;
  }
  return face;
}

function headOf(group) {
  const o = overlay();
  const value = o ? overlayValue(o, group.key) : null;
  const notes = [group.cls, group.parameters ? plural(group.parameters, "param") : "", value === null ? "" : FORMATS[o.format](value)];
  return { title: fitted(group.title, 13, true), words: fitted(notes.filter(Boolean).join(" · "), 11.5, false) };
}

// ---- layout and drawing ----

function buildTree() {
  const faces = new Map();
  const root = { id: "root", children: [] };
  const containers = new Map([[null, root]]);
  const containerOf = (g) => {
    if (containers.has(g)) return containers.get(g);
    const group = groups.get(g);
    const head = headOf(group);
    const width = 30 + textWidth(head.title, 13, true) + 8 + textWidth(head.words, 11.5, false) + 14;
    const container = { id: group.key, group, head, children: [], header: 34, minWidth: width };
    containers.set(g, container);
    containerOf(group.parent).children.push(container);
    return container;
  };
  for (const node of D.nodes) {
    const key = visibleKey(node);
    if (faces.has(key)) continue;
    const face = faceOf(key);
    faces.set(key, face);
    const parent = key[0] === "g" ? groups.get(Number(key.slice(1))).parent : node.group;
    const weight = Math.max(1, face.members.length);
    containerOf(parent).children.push({ id: key, w: face.w, h: face.h + face.stack, left: face.left, right: face.right, weight });
  }
  const edges = new Map();
  for (const edge of D.edges) {
    const [source, target] = [visibleKey(nodes.get(edge.source)), visibleKey(nodes.get(edge.target))];
    if (source !== target) edges.set(`${edge.source}>${target}`, { source, target, tensor: edge.source });
  }
  containers.delete(null);
  return { root, faces, containers, edges: [...edges.values()] };
}

// Draw everything anew; what has the key `anchor` keeps its place on the screen.
function render(anchor) {
  const before = anchor && placeOf(anchor);
  const { root, faces, containers, edges } = buildTree();
  const layout = layoutGraph(root, edges);
  scene = { faces, containers, layout, boxes: new Map(), heads: new Map(), links: [], labels: [] };
  for (const id of ["containers", "links", "heads", "labels", "boxes"]) $(id).replaceChildren();
  for (const container of containers.values()) drawContainer(container, layout.boxes.get(container.id));
  layout.links.forEach(drawLink);
  const o = overlay();
  const scale = o && scaleOf(o, faces.keys());
  for (const face of faces.values()) drawBox(face, layout.boxes.get(face.key), o, scale);
  drawColourBar(o, scale);
  if (before) {
    const after = placeOf(anchor);
    state.view.x += (before.x - after.x) * state.view.k;
    state.view.y += (before.y - after.y) * state.view.k;
  }
  if (state.selected && !scene.boxes.has(state.selected) && !scene.heads.has(state.selected)) state.selected = null;
  mark();
  moveView();
}

// The upper left corner of a box or container; of the innermost one in sight if it is folded away.
function placeOf(key) {
  const boxes = scene.layout.boxes;
  if (boxes.has(key)) return boxes.get(key);
  const member = membersOf(key)[0];
  return boxes.get(visibleKey(member)) || { x: 0, y: 0 };
}

function drawContainer(container, { x, y, w, h }) {
  const { group, head } = container;
  const frame = draw("rect", { class: "frame", width: w, height: h, rx: 10 });
  const title = draw("text", { x: 28, y: 20 });
  title.append(draw("tspan", { class: "name" }, head.title), draw("tspan", { class: "words", dx: 8 }, head.words));
  const width = 40 + textWidth(head.title, 13, true) + 8 + textWidth(head.words, 11.5, false);
  const button = draw(
    "g",
    { class: "head", transform: `translate(${x} ${y})`, role: "button", tabindex: -1, "aria-expanded": "true", "aria-label": `${group.title}, ${head.words}`, "data-key": group.key },
    draw("rect", { x: 4, y: 4, width: Math.min(width, w - 8), height: 24, rx: 6 }),
    foldSign(9, 9, "−"),
    title,
  );
  button.append(draw("title", {}, `${group.title} – click to fold`));
  button.addEventListener("click", () => toggle(group.id));
  $("containers").append(draw("g", { class: `container ${group.kind}`, transform: `translate(${x} ${y})` }, frame));
  $("heads").append(button);
  scene.heads.set(group.key, button);
}

function foldSign(x, y, text) {
  return draw(
    "g",
    { class: "fold-sign", transform: `translate(${x} ${y})` },
    draw("rect", { width: 14, height: 14, rx: 3, fill: "var(--page)", stroke: "var(--line)" }),
    draw("text", { x: 7, y: 11, "text-anchor": "middle" }, text),
  );
}

function drawBox(face, { x, y }, o, scale) {
  const { key, group, w, h } = face;
  const rx = face.kind === "op" ? 7 : h / 2;
  const element = draw("g", {
    class: `box ${face.kind}${face.plain ? " plain" : ""}${group ? " group" : ""}${face.order ? " of-gradient" : ""}`, transform: `translate(${x} ${y})`,
    role: "button", tabindex: -1, "data-key": key,
    "aria-label": [face.title, face.words, face.note, `gives ${face.shape}`, group ? `folded, ${plural(face.inside, "op")}` : ""].filter(Boolean).join(", "),
  });
  if (group) {
    element.setAttribute("aria-expanded", "false");
    element.append(draw("rect", { class: "stack", x: 5, y: 5, width: w, height: h, rx }));
  }
  const tint = D.families.indexOf(face.kind === "op" ? face.family : face.kind);
  element.style.setProperty("--fill", face.plain ? "var(--page)" : tint < 0 ? "var(--raised)" : `var(--tint-${tint})`);
  if (o && face.value !== null) {
    const { fill, ink } = paint(o, scale, face.value);
    element.classList.add("painted");
    element.style.setProperty("--fill", fill);
    element.style.setProperty("--on-fill", ink);
  } else if (o && face.kind === "op") element.style.setProperty("--fill", "var(--page)");
  element.append(draw("rect", { class: "shape", width: w, height: h, rx }));
  if (face.kind === "output") element.append(draw("rect", { class: "shape", x: 4, y: 4, width: w - 8, height: h - 8, rx: rx - 4 }));
  element.append(draw("rect", { class: "ring", x: -4, y: -4, width: w + 8, height: h + 8, rx: rx + 3 }));
  const lines = [["name", fitted(face.title, 13, true)], ["words", fitted(face.words, 11.5, false)], ["note", face.note]].filter((l) => l[1]);
  const middle = w / 2 + (group ? 6 : 0);
  let baseline = h / 2 - 7.5 * (lines.length - 1) + 4;
  for (const [name, text] of lines) {
    element.append(draw("text", { class: name, x: middle, y: baseline }, text));
    baseline += 15;
  }
  if (face.flag) {
    element.classList.add("faulty");
    element.append(draw("rect", { class: "flag-back", x: w - 40, y: -10, width: 50, height: 18, rx: 4 }));
    element.append(draw("text", { class: "flag-text", x: w - 15, y: 3 }, `⚠ ${face.flag}`));
  }
  if (face.pictured) {
    const box = { x: -face.map.w - 10, y: (h - face.map.h) / 2, width: face.map.w, height: face.map.h };
    element.append(draw("image", { ...box, href: face.pictured.image.src, preserveAspectRatio: "none" }), draw("rect", { class: "map", ...box }));
  }
  element.append(draw("title", {}, [face.title, face.words, face.note, face.shape].filter(Boolean).join("\n")));
  element.addEventListener("click", () => select(key));
  if (group) {
    const sign = foldSign(6, 6, "+");
    sign.append(draw("title", {}, `Unfold ${face.title}`));
    sign.addEventListener("click", (event) => {
      event.stopPropagation();
      toggle(group.id);
    });
    element.append(sign);
    element.addEventListener("dblclick", () => toggle(group.id));
  }
  $("boxes").append(element);
  scene.boxes.set(key, element);
}

function drawLink(link) {
  const node = nodes.get(link.tensor);
  const width = 0.8 + 0.35 * Math.log10(Math.max(1, node.nbytes));
  const path = draw("path", { class: "link", d: link.d, "stroke-width": width.toFixed(2) });
  if (link.arrow) path.setAttribute("marker-end", "url(#arrow)");
  $("links").append(path);
  const consumers = outgoing.get(link.tensor).map((edge) => nodes.get(edge.target)).filter((target) => link.targets.has(visibleKey(target)));
  const senders = consumers.filter((target) => (target.sent || []).some((sent) => sent.to === link.tensor));
  let gradient = null;
  if (senders.length) {
    gradient = draw("path", { class: "gradient", d: link.d, transform: "translate(-7 0)", "stroke-width": "1.6" });
    if (link.first) gradient.setAttribute("marker-start", "url(#arrow-back)");
    $("links").append(gradient);
  }
  scene.links.push({ ...link, node, path, gradient, senders });
  if (!link.first || scene.labels.some((label) => label.node === node)) return;
  const inside = node.group !== null;
  const text = draw("text", { class: inside ? "inside" : "", x: link.x + 9, y: link.y + 16 }, node.kind === "input" ? "" : node.shape_text);
  $("labels").append(text);
  let norm = null;
  if (node.grad) {
    norm = draw("text", { class: `norm${inside ? " inside" : ""}`, x: link.x - 13, y: link.y + 16 }, `‖g‖ ${number(node.grad.norm)}`);
    $("labels").append(norm);
  }
  scene.labels.push({ node, text, norm });
}

function drawColourBar(o, scale) {
  const bar = $("colour-bar");
  bar.hidden = !o;
  if (!o) return;
  const about = D.groups.length ? make("p", {}, `On a folded module: ${FOLDED[o.fold]}.`) : "";
  if (o.format === "verdict") {
    const used = VERDICTS.filter(([verdict]) => Object.values(o.values).includes(verdict));
    const swatch = (fill) => draw("svg", { width: 28, height: 16, "aria-hidden": "true" }, draw("rect", { x: 1, y: 1, width: 26, height: 14, rx: 3, fill, stroke: "var(--line)" }));
    bar.replaceChildren(make("strong", {}, o.label), ...used.map(([verdict, fill]) => make("div", { class: "row" }, swatch(fill), verdict)), about);
    return;
  }
  const stops = [0, 0.25, 0.5, 0.75, 1];
  const colours = Array.from({ length: 21 }, (_, i) => rampAt(i / 20).fill).join(", ");
  const strip = make("div", { class: "bar", role: "img", "aria-label": `from ${FORMATS[o.format](scale.low)} to ${FORMATS[o.format](scale.high)}` });
  strip.style.background = `linear-gradient(90deg, ${colours})`;
  bar.replaceChildren(
    make("strong", {}, `${o.label}${scale.log ? " (logarithmic)" : ""}`),
    strip,
    make("div", { class: "ticks" }, ...stops.map((t) => make("span", {}, FORMATS[o.format](t === 0 ? scale.low : scale.value(t))))),
    about,
  );
}

// ---- marks that need no new layout: selection, search, moment ----

const reached = (node) => {
  if (!state.moment) return true;
  if (node.kind === "op") return node.forwardAt <= state.moment;
  if (node.kind === "output") return node.sources.every((source) => reached(nodes.get(source.node)));
  return true;
};
const gradientReached = (node) =>
  node.backwardAt !== undefined && (state.moment ? node.backwardAt <= state.moment : state.gradients);
// The gradient of a node's result is whole when all that use it have sent their parts.
const gradientKnown = (node) =>
  node.grad && (state.moment === 0 || outgoing.get(node.id).every((edge) => {
    const target = nodes.get(edge.target);
    return target.backwardAt === undefined ? target.kind !== "output" || state.moment > forwardCount : target.backwardAt <= state.moment;
  }));

function mark() {
  const moment = moments[state.moment];
  const now = moment.node && visibleKey(moment.node);
  const hits = new Map();
  for (const node of state.hits) hits.set(visibleKey(node), (hits.get(visibleKey(node)) || 0) + 1);
  $("picture").classList.toggle("searching", state.query !== "");
  for (const [key, element] of scene.boxes) {
    element.classList.toggle("selected", key === state.selected);
    element.classList.toggle("found", hits.has(key));
    element.classList.toggle("now", key === now);
    element.classList.toggle("later", !membersOf(key).some(reached));
    showMap(element, scene.faces.get(key).pictured);
    element.setAttribute("tabindex", key === state.selected ? 0 : -1);
  }
  for (const [key, button] of scene.heads) {
    button.classList.toggle("selected", key === state.selected);
    button.setAttribute("tabindex", key === state.selected ? 0 : -1);
  }
  for (const link of scene.links) {
    const near = state.selected && (link.source === state.selected || link.targets.has(state.selected));
    link.path.classList.toggle("near", Boolean(near));
    link.path.classList.toggle("later", !reached(link.node));
    link.gradient?.classList.toggle("shown", link.senders.some(gradientReached));
  }
  for (const { node, text, norm } of scene.labels) {
    text.classList.toggle("later", !reached(node));
    norm?.classList.toggle("shown", (state.moment > forwardCount || (!state.moment && state.gradients)) && gradientKnown(node));
  }
  for (const rect of $("bars").children) rect.classList.toggle("now", Number(rect.dataset.moment) === state.moment);
  for (const row of document.querySelectorAll("#outline .row")) row.classList.toggle("selected", row.dataset.key === state.selected);
  showDetails();
}

// Beside a box its feature maps; in the backward half of the step, once it is known, their gradient.
function showMap(element, node) {
  if (!node) return;
  const back = state.moment > forwardCount && node.grad_image && gradientKnown(node);
  element.querySelector("image").setAttribute("href", (back ? node.grad_image : node.image).src);
  element.querySelector(".map").classList.toggle("backward", Boolean(back));
}

function select(key, { focus = true, centre = false } = {}) {
  state.selected = key;
  showTab("details");
  mark();
  const element = scene.boxes.get(key) || scene.heads.get(key);
  if (centre) bringIntoView(key);
  if (focus) element?.focus({ preventScroll: true });
}

// Show a node or group wherever it hides: unfold what is around it, select it.
function reveal(node, options) {
  let changed = false;
  for (let g = node.group ?? null; g !== null; g = groups.get(g).parent) changed = state.folded.delete(g) || changed;
  if (changed) render();
  select(nodeKey(node.id), { centre: true, ...options });
}

function toggle(id) {
  const group = groups.get(id);
  if (state.folded.has(id)) {
    if (scene.boxes.size + group.members.length > MOST_BOXES && group.members.length > MOST_BOXES) return notice(tooMany(group.members.length));
    state.folded.delete(id);
  } else state.folded.add(id);
  state.selected = group.key;
  render(group.key);
  select(group.key);
}

const tooMany = (n) => `${plural(n, "box")} would be too many to draw at once; unfold some modules instead.`.replace("boxs", "boxes");

function foldAll(fold) {
  if (!fold && D.nodes.length > MOST_BOXES) return notice(tooMany(D.nodes.length));
  state.folded = new Set(fold ? D.groups.map((group) => group.id) : []);
  render();
  fit(false);
}

let noticeTimer = 0;
function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => ($("notice").hidden = true), 6000);
}

// ---- pan and zoom ----

const stage = () => $("picture").getBoundingClientRect();

function moveView() {
  const { k, x, y } = state.view;
  $("view").setAttribute("transform", `translate(${x} ${y}) scale(${k})`);
}

function zoomBy(factor, at) {
  const { width, height } = stage();
  const [px, py] = at || [width / 2, height / 2];
  const k = Math.min(4, Math.max(0.03, state.view.k * factor));
  state.view = { k, x: px - ((px - state.view.x) * k) / state.view.k, y: py - ((py - state.view.y) * k) / state.view.k };
  moveView();
}

// The whole picture; where that would be too small to read, its beginning.
function fit(whole = true) {
  const { width, height } = stage();
  const { w, h } = scene.layout;
  const all = Math.min((width - 20) / w, (height - 20) / h, 1.25);
  const k = whole || all > 0.6 ? all : Math.min(0.8, Math.max(all, (width - 20) / w));
  const legend = $("legend").open ? $("legend").offsetWidth + 20 : 0; // the picture stands beside it where there is room
  const left = w * k < width - legend - 10 ? legend : 0;
  state.view = { k, x: left + (width - left - w * k) / 2, y: all === k ? (height - h * k) / 2 : 10 };
  moveView();
}

function bringIntoView(key) {
  const { x, y, w, h } = scene.layout.boxes.get(key);
  const { width, height } = stage();
  const { k } = state.view;
  const [left, top] = [x * k + state.view.x, y * k + state.view.y];
  if (left < 20 || left + w * k > width - 20) state.view.x = width / 2 - (x + w / 2) * k;
  if (top < 20 || top + h * k > height - 20) state.view.y = height / 2 - (y + h / 2) * k;
  moveView();
}

function enablePointers() {
  const picture = $("picture");
  const held = new Map();
  let moved = 0;
  picture.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = stage();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    zoomBy(Math.exp(-Math.max(-200, Math.min(200, pixels)) * 0.0022), [event.clientX - box.left, event.clientY - box.top]);
  }, { passive: false });
  picture.addEventListener("pointerdown", (event) => {
    held.set(event.pointerId, [event.clientX, event.clientY]);
    moved = 0;
  });
  picture.addEventListener("pointermove", (event) => {
    const old = held.get(event.pointerId);
    if (!old) return;
    const now = [event.clientX, event.clientY];
    moved += Math.hypot(now[0] - old[0], now[1] - old[1]);
    if (moved > 4 && !picture.hasPointerCapture(event.pointerId)) picture.setPointerCapture(event.pointerId);
    const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
    held.set(event.pointerId, now);
    if (other) {
      const box = stage();
      const ratio = Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(1, Math.hypot(old[0] - other[0], old[1] - other[1]));
      zoomBy(ratio, [(now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top]);
    } else {
      state.view.x += now[0] - old[0];
      state.view.y += now[1] - old[1];
      moveView();
    }
  });
  for (const type of ["pointerup", "pointercancel"]) picture.addEventListener(type, (event) => held.delete(event.pointerId));
  picture.addEventListener("click", (event) => moved > 4 && event.stopPropagation(), { capture: true }); // a drag is no click
}

// ---- search ----

function search(query) {
  state.query = query.trim().toLowerCase();
  const words = state.query.split(/\s+/);
  state.hits = state.query ? D.nodes.filter((node) => words.every((word) => node.haystack.includes(word))) : [];
  state.hit = -1;
  $("found").textContent = state.query ? (state.hits.length ? plural(state.hits.length, "hit") : "no hits") : "";
  mark();
}

function nextHit(step) {
  if (!state.hits.length) return;
  state.hit = (state.hit + step + state.hits.length) % state.hits.length;
  $("found").textContent = `${state.hit + 1} of ${state.hits.length}`;
  reveal(state.hits[state.hit], { focus: false });
}

// ---- the panel ----

const row = (name, value) => (value === "" || value === null || value === undefined ? [] : [make("dt", {}, name), make("dd", {}, value)]);
const list = (...rows) => make("dl", {}, ...rows.flat());
const jump = (node, text) => make("button", { class: "jump", type: "button", onclick: () => reveal(node) }, text);

function showDetails() {
  const panel = $("details");
  if (!state.selected) panel.replaceChildren(...overviewOf());
  else if (state.selected[0] === "n") panel.replaceChildren(...detailsOfNode(nodes.get(Number(state.selected.slice(1)))));
  else panel.replaceChildren(...detailsOfGroup(groups.get(Number(state.selected.slice(1)))));
}

function overviewOf() {
  const totals = D.overlays.filter((o) => o.fold === "sum").map((o) => row(o.label, FORMATS[o.format](Object.values(o.values).reduce((a, b) => a + b, 0))));
  return [
    make("h2", {}, D.title),
    list(row("Ops", String(ops.length)), row("Parameters", D.parameters.toLocaleString("en")), row("Loss", D.loss), ...totals),
    ...(D.why ? [make("p", { class: "alert" }, D.why)] : []),
    make("p", { class: "quiet" }, "Click a box for its shape, parameters, statistics and source line; + and − unfold and fold. Press ? for the keys."),
  ];
}

function detailsOfGroup(group) {
  const inside = group.members.filter((node) => node.kind === "op");
  const last = inside[inside.length - 1];
  return [
    make("h2", {}, group.title),
    make("p", { class: "sub" }, [{ module: "module", layer: "layer", composite: "function of ops", run: "stretch of ops" }[group.kind], group.cls, group.words].filter(Boolean).join(" · ")),
    ...(inside.includes(moments[state.moment].node) ? momentOf(moments[state.moment].node) : []),
    list(
      row("Ops", String(inside.length)),
      row("Parameters", group.parameters.toLocaleString("en")),
      row("Result", `${last.shape_text}, ${FORMATS.bytes(last.nbytes)}`),
      ...D.overlays.map((o) => {
        const value = overlayValue(o, group.key);
        return row(o.label, value === null ? null : FORMATS[o.format](value));
      }),
    ),
    make("button", { type: "button", onclick: () => toggle(group.id) }, state.folded.has(group.id) ? "Unfold" : "Fold"),
    make("h3", {}, "Ops inside"),
    ...inside.slice(0, 200).map((node) => make("div", {}, jump(node, node.title), ` ${node.cls || ""} ${node.shape_text}`)),
    ...(reached(last) ? outputOf(last, "Result") : []),
    ...(gradientKnown(last) ? gradientOf(last) : []),
    ...inside.flatMap(weightsOf),
  ];
}

function detailsOfNode(node) {
  const sources = node.sources.map((source) => {
    const from = nodes.get(source.node);
    return make("div", {}, `${source.argument ? `${source.argument} ← ` : ""}`, jump(from, from.title), ` ${from.shape_text}`);
  });
  const uses = [...new Set(outgoing.get(node.id).map((edge) => edge.target))].map((id) => make("div", {}, jump(nodes.get(id), nodes.get(id).title)));
  return [
    make("h2", {}, node.title),
    make("p", { class: "sub" }, [node.kind === "op" ? node.cls : node.kind, node.words].filter(Boolean).join(" · ")),
    ...(node.error ? [make("p", { class: "alert" }, node.error)] : []),
    ...(state.moment ? momentOf(node) : []),
    list(
      row("Op", node.kind === "op" ? node.name : null),
      row("Module", node.path),
      row("Family", node.kind === "op" ? node.family : null),
      row("Result", node.error ? null : `${node.shape_text}, ${FORMATS.bytes(node.nbytes)}`),
      row("Parameters", node.parameters ? node.parameters.toLocaleString("en") : null),
      ...D.overlays.map((o) => row(o.label, o.values[node.id] === undefined ? null : FORMATS[o.format](o.values[node.id]))),
      ...node.params.map(([name, value]) => row(name, value)),
      ...Object.entries(node.constants).map(([name, value]) => row(name, `${value}, constant`)),
    ),
    ...(node.where ? [make("h3", {}, "Source line"), make("div", {}, make("code", {}, node.where)), ...(node.line ? [make("pre", {}, node.line)] : [])] : []),
    ...(sources.length ? [make("h3", {}, "Takes"), ...sources] : []),
    ...(uses.length ? [make("h3", {}, "Used by"), ...uses] : []),
    ...(reached(node) ? outputOf(node, node.kind === "op" ? "Result" : "Values") : [make("h3", {}, "Result"), make("p", { class: "quiet" }, "Not computed yet at this moment.")]),
    ...gradientSection(node),
    ...weightsOf(node),
  ];
}

function gradientSection(node) {
  if (gradientKnown(node)) return gradientOf(node);
  if (!node.out || node.kind !== "op") return [];
  const words = !backwardCount ? "Backward has not run." : node.grad ? "Backward has not reached this yet." : "No gradient came here.";
  return [make("h3", { class: "backward" }, "Gradient of the loss by the result"), make("p", { class: "quiet" }, words)];
}

function momentOf(node) {
  const moment = moments[state.moment];
  if (moment.node !== node) return [];
  return [make("p", { class: "alert" }, momentWords(state.moment))];
}

const outputOf = (node, title) => (node.out ? [make("h3", {}, title), ...statistics(node.out, ""), ...picture(node.image, "Feature maps of the first sample")] : []);
const gradientOf = (node) => [
  make("h3", { class: "backward" }, "Gradient of the loss by the result"),
  ...statistics(node.grad, "backward"),
  ...picture(node.grad_image, "Its maps for the first sample"),
  ...(node.sent && (!state.moment || node.backwardAt <= state.moment)
    ? [make("p", { class: "quiet" }, "Sent on:"), list(...node.sent.map((sent) => row(sent.argument, `norm ${number(sent.norm)}`)))]
    : []),
];

function weightsOf(node) {
  const past = !state.moment || node.backwardAt <= state.moment;
  return node.weights.flatMap((weight) => [
    make("h3", {}, `${weight.name} ${weight.shape_text}${weight.kind === "buffer" ? ", buffer" : weight.trainable ? "" : ", frozen"}`),
    ...(weight.out ? statistics(weight.out, "") : []),
    ...picture(weight.image, "Filters"),
    ...(weight.grad && past ? [make("p", { class: "quiet" }, "Its gradient:"), ...statistics(weight.grad, "backward")] : []),
  ]);
}

function picture(image, caption) {
  if (!image) return [];
  return [make("figure", {}, make("img", { src: image.src, alt: `${caption}: ${image.alt}` }), make("figcaption", {}, `${caption}: ${image.alt}`))];
}

function statistics(s, kind) {
  const parts = [
    list(
      row("mean", number(s.mean)), row("std", number(s.std)), row("min … max", s.min === null ? "–" : `${number(s.min)} … ${number(s.max)}`),
      row("norm", number(s.norm)), row("zeros", s.zeros ? FORMATS.share(s.zeros) : null),
      row("NaN", s.nan ? String(s.nan) : null), row("infinite", s.inf ? String(s.inf) : null),
    ),
  ];
  const whole = s.values && s.values.length === s.size;
  if (s.histogram && !whole) parts.push(...histogram(s, kind));
  if (s.values && !whole) parts.push(make("p", { class: "quiet" }, "The first sample:"));
  if (s.values && s.size > 1) parts.push(bars(s.values, kind));
  return parts;
}

function histogram(s, kind) {
  const most = Math.max(...s.histogram);
  const n = s.histogram.length;
  const words = `Histogram of ${s.size.toLocaleString("en")} values from ${number(s.min)} to ${number(s.max)}; the fullest of ${n} bins holds ${most.toLocaleString("en")}`;
  const svg = draw("svg", { class: `histogram ${kind}`, viewBox: `0 0 ${n} 100`, preserveAspectRatio: "none", role: "img", "aria-label": words });
  s.histogram.forEach((count, i) => {
    const h = most ? (100 * count) / most : 0;
    svg.append(draw("rect", { x: i + 0.05, y: 100 - h, width: 0.9, height: h }, draw("title", {}, `${count.toLocaleString("en")} values`)));
  });
  if (s.min < 0 && s.max > 0) {
    const zero = (n * -s.min) / (s.max - s.min);
    svg.append(draw("line", { x1: zero, x2: zero, y1: 0, y2: 100 }));
  }
  return [svg, make("div", { class: "ends" }, make("span", {}, number(s.min)), make("span", {}, `most ${most.toLocaleString("en")} a bin`), make("span", {}, number(s.max)))];
}

// A few numbers as bars around zero.
function bars(values, kind) {
  const most = Math.max(1e-300, ...values.map((x) => Math.abs(x ?? 0)));
  const cells = values.flatMap((x, i) => {
    const share = (50 * Math.abs(x ?? 0)) / most;
    const bar = make("i");
    bar.style.left = `${x < 0 ? 50 - share : 50}%`;
    bar.style.width = `${share}%`;
    return [make("span", {}, String(i)), make("span", { class: "bar" }, bar), make("span", {}, number(x))];
  });
  return make("div", { class: `values ${kind}` }, ...cells);
}

function showTab(name) {
  if (name === "outline") buildOutline();
  for (const tab of ["details", "outline"]) {
    $(tab).hidden = tab !== name;
    $(`tab-${tab}`).setAttribute("aria-selected", String(tab === name));
    $(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
  }
}

// The whole graph as nested lists: a picture for those who read, hear or feel it. Built when it is first wanted.
function buildOutline() {
  if ($("outline").childElementCount) return;
  const lists = new Map([[null, make("ul")]]);
  const listOf = (g) => {
    if (lists.has(g)) return lists.get(g);
    const group = groups.get(g);
    const inner = make("ul");
    lists.set(g, inner);
    const show = () => {
      for (let p = group.parent; p !== null; p = groups.get(p).parent) state.folded.delete(p);
      render();
      select(group.key, { centre: true });
      showTab("outline");
    };
    const tail = group.parameters ? make("small", { class: "tail" }, plural(group.parameters, "param")) : "";
    const button = make("button", { class: "row", type: "button", "data-key": group.key, onclick: show }, make("strong", {}, group.title), make("small", {}, group.cls), tail);
    listOf(group.parent).append(make("li", {}, button, inner));
    return inner;
  };
  for (const node of D.nodes) {
    const show = () => {
      reveal(node);
      showTab("outline");
    };
    const button = make("button", { class: "row", type: "button", "data-key": nodeKey(node.id), onclick: show }, node.title, make("small", {}, node.kind === "op" ? node.cls || "" : node.kind), make("small", { class: "tail" }, node.shape_text));
    listOf(node.group).append(make("li", {}, button));
  }
  $("outline").replaceChildren(lists.get(null));
}

// ---- the step in time ----

function momentWords(i) {
  const { phase, node } = moments[i];
  if (phase === "overview") {
    if (!D.has_values) return D.why;
    return `Overview: the whole step, ${plural(forwardCount, "moment")} forward and ${backwardCount} backward. ${D.why || ""}`;
  }
  const s = phase === "forward" ? node.out : node.grad;
  const name = node.title === node.name ? node.name : `${node.title} (${node.name})`;
  if (phase === "forward") {
    const values = s ? `mean ${number(s.mean)}, std ${number(s.std)}, from ${number(s.min)} to ${number(s.max)}` : "";
    return `Forward ${i} of ${forwardCount}: ${name} gives ${node.shape_text}, ${values}`;
  }
  const sent = node.sent.map((x) => `${x.argument} ${number(x.norm)}`).join(", ");
  return `Backward ${i - forwardCount} of ${backwardCount}: to ${name} comes a gradient of norm ${number(s?.norm)}; it sends on the norms ${sent}`;
}

function goTo(i) {
  state.moment = Math.max(0, Math.min(moments.length - 1, i));
  const { node } = moments[state.moment];
  $("slider").value = state.moment;
  $("slider").setAttribute("aria-valuetext", momentWords(state.moment));
  $("moment").textContent = momentWords(state.moment);
  if (node) {
    const key = visibleKey(node);
    state.selected = key[0] === "n" ? key : state.selected;
    if (key[0] === "g") state.selected = key;
    bringIntoView(key);
  }
  mark();
}

let playing = 0;
function play(on) {
  clearInterval(playing);
  playing = 0;
  $("play").textContent = on ? "⏸ Pause" : "▶ Play";
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  if (!on) return;
  if (state.moment === moments.length - 1) goTo(0);
  playing = setInterval(() => {
    goTo(state.moment + 1);
    if (state.moment === moments.length - 1) play(false);
  }, 900);
}

// A bar for each moment: the standard deviation of the result, then the norm of the gradient, both by their logarithms.
function buildTrack() {
  const n = moments.length - 1;
  $("slider").max = n;
  for (const id of ["slider", "first", "back", "next", "play"]) $(id).disabled = !n;
  const size = (m) => (m.phase === "forward" ? m.node.out?.std : m.node.grad?.norm) || 0;
  for (const phase of ["forward", "backward"]) {
    const own = moments.map((m, i) => [m, i]).filter(([m]) => m.phase === phase);
    const logs = own.map(([m]) => Math.log10(Math.max(size(m), 1e-12))).filter((x) => x > -12);
    const [low, high] = [Math.min(...logs) - 0.3, Math.max(...logs)];
    for (const [m, i] of own) {
      const h = size(m) ? (100 * (Math.log10(Math.max(size(m), 1e-12)) - low)) / (high - low || 1) : 2;
      const bar = draw("rect", { class: phase, x: i - 0.4, y: 100 - h, width: 0.8, height: h, "data-moment": i });
      bar.append(draw("title", {}, momentWords(i)));
      $("bars").append(bar);
    }
  }
  const whole = n + 0.5; // half a bar more than the slider, which ends in the middle of the last bar
  $("bars").setAttribute("viewBox", `0 0 ${whole} 100`);
  $("slider").style.width = n ? `calc((100% - 16px) * ${n / whole} + 16px)` : "100%";
  const at = (i) => `${(100 * i) / whole}%`;
  $("phase-overview").style.left = "0";
  $("phase-overview").hidden = n > 60;
  $("phase-forward").style.left = `max(60px, ${at(1)})`;
  $("phase-backward").style.left = at(forwardCount + 1);
  $("phase-forward").hidden = !forwardCount;
  $("phase-backward").hidden = !backwardCount;
}

// ---- the legend, the theme, the keys ----

function buildLegend() {
  const used = new Set(D.nodes.map((node) => (node.kind === "op" ? node.family : node.kind)));
  const rows = D.families.flatMap((name, i) => {
    if (!used.has(name) || name === "shape only") return [];
    const end = ["input", "output"].includes(name);
    const line = end ? { rx: 8, stroke: `var(--border-${name})`, "stroke-width": 2 } : { rx: 3, stroke: "var(--line)" };
    return [[draw("rect", { x: 1, y: 1, width: 26, height: 14, fill: `var(--tint-${i})`, ...line }), name]];
  });
  if (used.has("shape only")) rows.push([draw("rect", { x: 1, y: 1, width: 26, height: 14, rx: 3, fill: "var(--page)", stroke: "var(--rule)" }), "shape only"]);
  rows.push([draw("path", { d: "M1 8H27", stroke: "var(--line)", "stroke-width": 2, "marker-end": "url(#arrow)" }), "data; thick as log of bytes"]);
  if (backwardCount) rows.push([draw("path", { d: "M1 8H27", stroke: "var(--gradient)", "stroke-width": 2, "stroke-dasharray": "6 4" }), "gradient, ‖g‖ its norm"]);
  if (D.nodes.some((node) => node.order)) rows.push([draw("rect", { x: 1, y: 1, width: 26, height: 14, rx: 3, fill: "var(--page)", stroke: "var(--gradient)", "stroke-width": 2 }), "op of a gradient"]);
  if (D.groups.some((group) => group.kind === "module")) rows.push([draw("rect", { x: 1, y: 1, width: 26, height: 14, rx: 3, fill: "var(--raised)", stroke: "var(--line)" }), "module, folded"]);
  if (D.groups.length) rows.push([draw("rect", { x: 1, y: 1, width: 26, height: 14, rx: 3, fill: "var(--frame)", stroke: "var(--line)", "stroke-dasharray": "4 3" }), "module, unfolded"]);
  for (const [mark, words] of rows) $("legend").lastElementChild.append(make("div", { class: "row" }, draw("svg", { width: 28, height: 16, "aria-hidden": "true" }, mark), make("span", {}, words)));
}

const isDark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const nameTheme = () => ($("theme").textContent = isDark() ? "Light" : "Dark");
function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
}

function setOverlay(id) {
  state.overlay = id;
  $("overlay").value = id;
  render(state.selected || undefined);
}

function setMaps(on) {
  state.maps = on;
  $("maps").checked = on;
  render(state.selected || undefined);
}

function setGradients(on) {
  state.gradients = on;
  $("gradients").checked = on;
  if (on && !backwardCount) notice("Backward has not run.");
  mark();
}

// The next thing in a direction, by places on the screen.
function walk(dx, dy) {
  const keys = [...scene.boxes.keys(), ...scene.heads.keys()];
  if (!state.selected) return select(keys[0], { centre: true });
  const middle = (key) => {
    const { x, y, w, h } = scene.layout.boxes.get(key);
    return scene.heads.has(key) ? [x + 60, y + 16] : [x + w / 2, y + h / 2];
  };
  const [x, y] = middle(state.selected);
  let best = null;
  let least = Infinity;
  for (const key of keys) {
    const [ox, oy] = middle(key);
    const along = (ox - x) * dx + (oy - y) * dy;
    const across = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
    const cost = along + 2 * across;
    if (key !== state.selected && along > 1 && cost < least) [best, least] = [key, cost];
  }
  if (best) select(best, { centre: true });
}

function foldSelected() {
  if (!state.selected) return;
  const [kind, id] = [state.selected[0], Number(state.selected.slice(1))];
  const group = kind === "g" ? id : nodes.get(id).group;
  if (group !== null) toggle(group);
}

const cycleOverlay = () => {
  const ids = ["", ...D.overlays.map((o) => o.id)];
  setOverlay(ids[(ids.indexOf(state.overlay) + 1) % ids.length]);
};

// What each key does: names as shown in the help, codes, action; `graph` ones act while the graph has the focus.
const KEYS = [
  ["↑ ↓ ← →", "walk from box to box", { ArrowUp: () => walk(0, -1), ArrowDown: () => walk(0, 1), ArrowLeft: () => walk(-1, 0), ArrowRight: () => walk(1, 0) }, "graph"],
  ["Enter", "read the details of the box", { Enter: () => state.selected && $("details").focus() }, "graph"],
  ["Space", "fold or unfold the module", { " ": foldSelected }, "graph"],
  ["/", "search; Enter and Shift+Enter go through the hits", { "/": () => $("search").focus() }],
  ["[ ]", "one moment back, one moment on", { "[": () => goTo(state.moment - 1), "]": () => goTo(state.moment + 1) }],
  ["Home", "back to the overview", { Home: () => goTo(0) }],
  ["P", "play the training step", { p: () => play(!playing) }],
  ["O", "next overlay", { o: cycleOverlay }],
  ["G", "show or hide the gradients", { g: () => setGradients(!state.gradients) }],
  ["M", "show or hide the feature maps beside the boxes", { m: () => setMaps(!state.maps) }],
  ["E C", "unfold all, fold all", { e: () => foldAll(false), c: () => foldAll(true) }],
  ["+ − 0", "zoom in, out, fit to the window", { "+": () => zoomBy(1.25), "=": () => zoomBy(1.25), "-": () => zoomBy(0.8), 0: () => fit() }],
  ["D", "light or dark", { d: switchTheme }],
  ["Esc", "end the search, clear the selection", { Escape: () => ($("search").value = "", state.selected = null, search("")) }],
  ["?", "this help", { "?": () => $("help-dialog").showModal() }],
];

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help-dialog").open) return;
  const target = event.target;
  if (target === $("search")) {
    if (event.key === "Enter") nextHit(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") target.blur();
    if (event.key !== "Escape") return;
  }
  const native = ["SELECT", "BUTTON", "INPUT", "SUMMARY"].includes(target.tagName) && target.type !== "search";
  const inGraph = target === document.body || $("picture").contains(target);
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (native && ([" ", "Enter", "Home"].includes(name) || target.tagName === "SELECT")) return;
  for (const [, , actions, where] of KEYS) {
    if (!(name in actions) || (where === "graph" && !inGraph)) continue;
    event.preventDefault();
    actions[name]();
    return;
  }
}

function buildHelp() {
  for (const [keys, words] of KEYS) {
    const caps = keys.split(" ").flatMap((key) => [make("kbd", {}, key), " "]);
    $("keys").tBodies[0].append(make("tr", {}, make("td", {}, ...caps), make("td", {}, words)));
  }
  for (const [what, words] of [["Wheel, drag", "zoom, move (two fingers on a touch screen)"], ["Double click", "unfold a module; click its title to fold it"]]) {
    $("keys").tBodies[0].append(make("tr", {}, make("td", {}, what), make("td", {}, words)));
  }
}

function start() {
  $("title").textContent = D.title;
  $("title").title = D.title;
  $("totals").textContent = `${plural(ops.length, "op")} · ${plural(D.parameters, "parameter")}`;
  for (const node of D.nodes) {
    node.haystack = [node.title, node.name, node.path, node.cls, node.words, node.where, node.family, node.shape_text, node.kind].join(" ").toLowerCase();
  }
  $("overlay").append(make("option", { value: "" }, "none"), ...D.overlays.map((o) => make("option", { value: o.id }, o.label)));
  buildLegend();
  buildHelp();
  buildTrack();
  render();
  $("legend").open = stage().width > 600;
  fit(false);
  goTo(0);
  nameTheme();
  enablePointers();
  $("search").addEventListener("input", (event) => search(event.target.value));
  $("overlay").addEventListener("change", (event) => setOverlay(event.target.value));
  $("gradients").addEventListener("change", (event) => setGradients(event.target.checked));
  $("maps").addEventListener("change", (event) => setMaps(event.target.checked));
  $("slider").addEventListener("input", (event) => goTo(Number(event.target.value)));
  const clicks = {
    "fold-all": () => foldAll(true), "unfold-all": () => foldAll(false), "zoom-in": () => zoomBy(1.25), "zoom-out": () => zoomBy(0.8),
    fit: () => fit(), theme: switchTheme, help: () => $("help-dialog").showModal(),
    first: () => goTo(0), back: () => goTo(state.moment - 1), next: () => goTo(state.moment + 1), play: () => play(!playing),
    "tab-details": () => showTab("details"), "tab-outline": () => showTab("outline"),
  };
  for (const [id, action] of Object.entries(clicks)) $(id).addEventListener("click", action);
  $("tab-details").parentElement.addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const name = $("details").hidden ? "details" : "outline";
    showTab(name);
    $(`tab-${name}`).focus();
  });
  document.addEventListener("keydown", onKey);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
}

start();
