// Layered layout of a nested graph, top to bottom.
//
// A container's children are laid out inside it, then the container is one box to its parent. What crosses its border
// does so at a port: one for each tensor that enters (at the top) or leaves (at the bottom). Each container takes the
// usual four steps of Sugiyama's method: ranks by longest path, dummies where an edge passes ranks, few crossings by
// barycentres, and x-coordinates that make the sum of horizontal bends least, rank by rank (an L1 isotonic regression,
// so that what can be straight is exactly straight). The longest chain weighs most: it becomes the spine.
"use strict";

const LAYOUT = { sep: 26, gap: 40, portGap: 16, pad: 16, slope: 0.1, maxGap: 84 };

// root: {id, children}; a child is a box {id, w, h, left, right} (left, right: room
// beside its middle, at least half its width) or a container {id, children, header, minWidth}.
// Children stand in topological order. edges: [{source, target, tensor}] between boxes.
// Returns {boxes: Map id -> {x, y, w, h}, links: [{d, tensor, source, targets, arrow, first, x, y}], w, h}.
function layoutGraph(root, edges) {
  const parent = new Map();
  const nodes = new Map();
  (function index(node) {
    nodes.set(node.id, node);
    node.segments = new Map();
    for (const child of node.children || []) {
      parent.set(child.id, node);
      index(child);
    }
  })(root);

  const ancestors = (id) => {
    const found = [];
    for (let p = parent.get(id); p; p = parent.get(p.id)) found.push(p);
    return found;
  };
  for (const edge of edges) {
    const up = ancestors(edge.source);
    const down = ancestors(edge.target);
    const common = up.find((node) => down.includes(node));
    let from = { id: edge.source };
    for (const node of up.slice(0, up.indexOf(common))) {
      addSegment(node, from, { port: "out", tensor: edge.tensor }, edge);
      from = { id: node.id, port: "out", tensor: edge.tensor };
    }
    let to = { id: edge.target };
    for (const node of down.slice(0, down.indexOf(common))) {
      addSegment(node, { port: "in", tensor: edge.tensor }, to, edge);
      to = { id: node.id, port: "in", tensor: edge.tensor };
    }
    addSegment(common, from, to, edge);
  }

  layContainer(root, true);
  const boxes = new Map();
  const links = [];
  (function place(node, x, y) {
    boxes.set(node.id, { x, y, w: node.w, h: node.h });
    for (const link of node.links || []) links.push(pathOf(link, x, y));
    for (const child of node.children || []) place(child, x + child.x, y + child.y);
  })(root, 0, 0);
  return { boxes, links, w: root.w, h: root.h };
}

const endName = (end) => `${end.id ?? ""}/${end.port ?? ""}/${end.tensor ?? ""}`;

function addSegment(container, from, to, edge) {
  const name = `${endName(from)}>${endName(to)}`;
  const segment = container.segments.get(name) || { from, to, tensor: edge.tensor, source: edge.source, targets: new Set() };
  segment.targets.add(edge.target);
  container.segments.set(name, segment);
}

function layContainer(container, isRoot) {
  for (const child of container.children) if (child.children) layContainer(child, false);
  const graph = localGraph(container);
  assignRanks(graph);
  markSpine(graph);
  splitLongLinks(graph);
  orderRanks(graph);
  assignX(graph);
  finish(container, graph, isRoot);
}

// The vertices and links of one container: its children, and a vertex for each port of its own.
function localGraph(container) {
  const vertices = [];
  const byName = new Map();
  const add = (name, vertex) => {
    Object.assign(vertex, { index: vertices.length, up: [], down: [], x: 0, rank: 0 });
    byName.set(name, vertex);
    vertices.push(vertex);
    return vertex;
  };
  for (const child of container.children) {
    const half = child.w / 2;
    add(child.id, { kind: "box", item: child, left: Math.max(half, child.left || 0), right: Math.max(half, child.right || 0), h: child.h });
  }
  const vertexOf = (end) => {
    if (end.id !== undefined) return byName.get(end.id);
    const name = `${end.port} ${end.tensor}`;
    return byName.get(name) || add(name, { kind: end.port, tensor: end.tensor, left: 1, right: 1, h: 0 });
  };
  // Where on a child a link begins or ends, from the child's middle.
  const offset = (end, side) => {
    const vertex = vertexOf(end);
    if (!end.port || end.id === undefined) return 0;
    return vertex.item.ports[side].get(end.tensor) - vertex.item.w / 2;
  };
  const links = [];
  for (const segment of container.segments.values()) {
    const a = vertexOf(segment.from);
    const b = vertexOf(segment.to);
    links.push(
      connect({ a, b, aOff: offset(segment.from, "out"), bOff: offset(segment.to, "in"), weight: 2, ...segment, first: a.kind === "box" && !a.item.children })
    );
  }
  return { vertices, links };
}

function connect(link) {
  link.a.down.push(link);
  link.b.up.push(link);
  return link;
}

function assignRanks({ vertices }) {
  const ins = vertices.filter((v) => v.kind === "in");
  const boxes = vertices.filter((v) => v.kind === "box");
  const lowest = ins.length ? 1 : 0;
  for (const v of boxes) v.rank = Math.max(lowest, ...v.up.map((link) => link.a.rank + 1));
  const sourcesLast = boxes.filter((v) => !v.up.length && v.down.length).reverse();
  for (const v of sourcesLast) {
    const below = v.down.filter((link) => link.b.kind === "box").map((link) => link.b.rank - 1);
    if (below.length) v.rank = Math.max(lowest, Math.min(...below));
  }
  const last = Math.max(0, ...boxes.map((v) => v.rank));
  for (const v of vertices) if (v.kind === "out") v.rank = last + 1;
}

// The chain with the most boxes gets heavy links.
function markSpine({ vertices }) {
  const order = [...vertices].sort((a, b) => a.rank - b.rank || a.index - b.index);
  let end = null;
  for (const v of order) {
    v.best = null;
    v.length = 0;
    for (const link of v.up) if (link.a.length > v.length) [v.best, v.length] = [link, link.a.length];
    v.length += v.kind === "box" ? v.item.weight || 1 : 0.1;
    if (!end || v.length > end.length) end = v;
  }
  for (let v = end; v && v.best; v = v.best.a) v.best.weight = 40;
}

// A link that passes ranks becomes a chain of dummies; those of one tensor share them.
function splitLongLinks(graph) {
  const shared = new Map();
  const short = new Map();
  for (const v of graph.vertices) v.up = v.down = null;
  const vertices = [...graph.vertices];
  for (const v of vertices) [v.up, v.down] = [[], []];
  const join = (a, b, link, aOff, bOff, first) => {
    const name = `${a.index}>${b.index}/${aOff}/${bOff}`;
    const old = short.get(name);
    if (old) {
      link.targets.forEach((t) => old.targets.add(t));
      old.weight = Math.max(old.weight, link.weight);
      return;
    }
    const inner = a.kind === "dummy" && b.kind === "dummy";
    const weight = inner ? Math.max(link.weight, 12) : link.weight;
    short.set(name, connect({ ...link, a, b, aOff, bOff, weight, first, targets: new Set(link.targets) }));
  };
  for (const link of graph.links) {
    let at = link.a;
    let off = link.aOff;
    let first = link.first;
    for (let rank = link.a.rank + 1; rank < link.b.rank; rank++) {
      const name = `${link.a.index}/${link.aOff}/${link.tensor}/${rank}`;
      let dummy = shared.get(name);
      if (!dummy) {
        dummy = { kind: "dummy", chain: `${link.a.index}/${link.aOff}/${link.tensor}`, index: vertices.length, rank, left: 5, right: 5, h: 0, x: 0, up: [], down: [] };
        shared.set(name, dummy);
        vertices.push(dummy);
      }
      join(at, dummy, link, off, 0, first);
      [at, off, first] = [dummy, 0, false];
    }
    join(at, link.b, link, off, link.bOff, first);
  }
  graph.vertices = vertices;
  graph.links = [...short.values()];
}

function orderRanks(graph) {
  const ranks = [];
  for (const v of graph.vertices) (ranks[v.rank] ||= []).push(v);
  for (let r = 0; r < ranks.length; r++) ranks[r] ||= [];
  const number = () => ranks.forEach((rank) => rank.forEach((v, i) => (v.order = i)));
  number();
  let best = ranks.map((rank) => [...rank]);
  let fewest = crossings(ranks);
  for (let round = 0; round < 16 && fewest > 0; round++) {
    const down = round % 2 === 0;
    const sequence = down ? ranks.slice(1) : ranks.slice(0, -1).reverse();
    for (const rank of sequence) {
      for (const v of rank) {
        const near = down
          ? v.up.map((l) => l.a.order + shift(l.aOff, l.a) - shift(l.bOff, l.b))
          : v.down.map((l) => l.b.order + shift(l.bOff, l.b) - shift(l.aOff, l.a));
        v.mean = near.length ? near.reduce((a, b) => a + b, 0) / near.length : v.order;
      }
      rank.sort((a, b) => a.mean - b.mean || a.order - b.order);
      rank.forEach((v, i) => (v.order = i));
    }
    const now = crossings(ranks);
    if (now < fewest) [fewest, best] = [now, ranks.map((rank) => [...rank])];
  }
  best.forEach((rank, r) => (ranks[r] = rank));
  number();
  graph.ranks = ranks;
}

// A port's place on its box as a part of the box's place in the order.
const shift = (offset, v) => (v.kind === "box" ? (0.9 * offset) / v.item.w : 0);

function crossings(ranks) {
  let count = 0;
  for (const rank of ranks) {
    const ends = rank.flatMap((v) => v.down.map((l) => [v.order + shift(l.aOff, v), l.b.order + shift(l.bOff, l.b)]));
    for (let i = 0; i < ends.length; i++)
      for (let j = i + 1; j < ends.length; j++)
        if ((ends[i][0] - ends[j][0]) * (ends[i][1] - ends[j][1]) < 0) count++;
  }
  return count;
}

function assignX({ ranks }) {
  for (const rank of ranks) {
    let x = 0;
    for (const v of rank) {
      x += v.left;
      v.x = x;
      x += v.right + LAYOUT.sep;
    }
  }
  const wishes = (v, up, down) => [
    ...(up ? v.up.map((l) => [l.a.x + l.aOff - l.bOff, l.weight]) : []),
    ...(down ? v.down.map((l) => [l.b.x + l.bOff - l.aOff, l.weight]) : []),
  ];
  const sweep = (sequence, up, down) => {
    for (const rank of sequence) placeRank(rank, rank.map((v) => wishes(v, up, down)));
  };
  const back = [...ranks].reverse();
  for (let round = 0; round < 6; round++) {
    sweep(ranks, true, false);
    sweep(back, false, true);
  }
  for (let round = 0; round < 3; round++) {
    sweep(ranks, true, true);
    sweep(back, true, true);
  }
  straighten(ranks);
}

// A long link beside all boxes of its ranks, as a skip connection mostly is, runs straight, as near as there is room.
function straighten(ranks) {
  const chains = new Map();
  for (const v of ranks.flat()) if (v.chain) chains.set(v.chain, [...(chains.get(v.chain) || []), v]);
  for (const side of [1, -1]) {
    const rankOf = (v) => (side > 0 ? ranks[v.rank] : [...ranks[v.rank]].reverse());
    const outside = (v) => rankOf(v).slice(rankOf(v).indexOf(v)).every((other) => other.kind === "dummy");
    const free = [...chains.values()].filter((chain) => chain.every(outside));
    free.sort((a, b) => Math.max(...a.map((v) => rankOf(v).indexOf(v))) - Math.max(...b.map((v) => rankOf(v).indexOf(v))));
    for (const chain of free) {
      const bounds = chain.map((v) => {
        const inner = rankOf(v)[rankOf(v).indexOf(v) - 1];
        if (!inner) return -Infinity;
        return side > 0 ? inner.x + inner.right + LAYOUT.sep + v.left : -(inner.x - inner.left - LAYOUT.sep - v.right);
      });
      const x = Math.max(...bounds);
      if (Number.isFinite(x)) chain.forEach((v) => (v.x = side * x));
    }
  }
}

// The places in one rank that keep their distances and have the least weighted sum of ways to their wishes:
// pool adjacent violators with medians.
function placeRank(rank, wishes) {
  const blocks = [];
  let lead = 0;
  rank.forEach((v, i) => {
    if (i) lead += rank[i - 1].right + LAYOUT.sep + v.left;
    const wanted = wishes[i].length ? wishes[i] : [[v.x, 0.01]];
    let block = { members: [[v, lead]], wishes: wanted.map(([x, w]) => [x - lead, w]) };
    block.at = median(block.wishes);
    while (blocks.length && blocks[blocks.length - 1].at > block.at) {
      const before = blocks.pop();
      block = { members: [...before.members, ...block.members], wishes: [...before.wishes, ...block.wishes] };
      block.at = median(block.wishes);
    }
    blocks.push(block);
  });
  for (const block of blocks) for (const [v, offset] of block.members) v.x = block.at + offset;
}

function median(wishes) {
  const sorted = [...wishes].sort((a, b) => a[0] - b[0]);
  const half = sorted.reduce((sum, [, w]) => sum + w, 0) / 2;
  let sum = 0;
  for (let i = 0; i < sorted.length; i++) {
    sum += sorted[i][1];
    if (Math.abs(sum - half) < 1e-9 && i + 1 < sorted.length) return (sorted[i][0] + sorted[i + 1][0]) / 2;
    if (sum > half) return sorted[i][0];
  }
  return sorted[sorted.length - 1][0];
}

function finish(container, { vertices, links, ranks }, isRoot) {
  const leftMost = Math.min(...vertices.map((v) => v.x - v.left));
  const rightMost = Math.max(...vertices.map((v) => v.x + v.right));
  const inner = rightMost - leftMost;
  const width = Math.max(inner + 2 * LAYOUT.pad, container.minWidth || 0);
  const dx = (width - inner) / 2 - leftMost;
  let y = isRoot ? LAYOUT.pad : container.header;
  ranks.forEach((rank, r) => {
    const h = Math.max(0, ...rank.map((v) => v.h));
    const below = rank.flatMap((v) => v.down);
    const steepest = Math.max(0, ...below.map((l) => Math.abs(l.a.x + l.aOff - l.b.x - l.bOff)));
    const onlyPorts = rank.every((v) => v.kind === "in");
    const beforePorts = ranks[r + 1]?.every((v) => v.kind === "out") && !rank.some((v) => v.down.some((l) => l.first));
    const base = onlyPorts || beforePorts ? LAYOUT.portGap : LAYOUT.gap;
    for (const v of rank) {
      v.x += dx;
      [v.top, v.bottom] = [y, y + h];
      v.y = v.kind === "box" ? y + (h - v.h) / 2 : y;
    }
    y += h + (r + 1 < ranks.length ? Math.min(LAYOUT.maxGap, base + LAYOUT.slope * steepest) : 0);
  });
  const hasOut = vertices.some((v) => v.kind === "out");
  container.w = width;
  container.h = y + (hasOut ? 0 : LAYOUT.pad);
  container.links = links;
  container.ports = { in: new Map(), out: new Map() };
  for (const v of vertices) {
    if (v.kind === "in" || v.kind === "out") container.ports[v.kind].set(v.tensor, v.x);
    if (v.kind === "in") v.top = 0;
    if (v.kind === "box") [v.item.x, v.item.y] = [v.x - v.item.w / 2, v.y];
  }
}

// Straight down beside the boxes of a rank, and a curve only between ranks.
function pathOf(link, x, y) {
  const { a, b } = link;
  const x1 = x + a.x + link.aOff;
  const x2 = x + b.x + link.bOff;
  const y1 = y + (a.kind === "box" ? a.y + a.h : a.top);
  const y2 = y + a.bottom;
  const y3 = y + b.top;
  const y4 = y + (b.kind === "box" ? b.y : b.top);
  const arrow = b.kind === "box" && !b.item.children;
  const to = Math.min(y3, arrow ? y4 - 10 : y4); // so that heads stand upright
  const from = Math.min(to - 14, link.first ? Math.max(y2, y1 + 8) : y2 + 16); // below the shapes on the other links
  const middle = (from + to) / 2;
  const curve = x1 === x2 ? `V${y4}` : `V${from}C${x1} ${middle} ${x2} ${middle} ${x2} ${to}V${y4}`;
  return {
    d: `M${x1} ${y1}${curve}`, tensor: link.tensor, source: link.source, targets: link.targets, first: link.first, arrow, x: x1, y: y1,
  };
}
