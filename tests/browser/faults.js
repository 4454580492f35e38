// Run inside the explorer's page: what the eye would complain of, as a list of sentences.
const slack = 0.5;
const faults = new Set();
const boxes = [...scene.faces.values()].map((face) => ({
  face,
  place: scene.layout.boxes.get(face.key),
  element: scene.boxes.get(face.key),
}));
const inside = (p, x, y, by) => x > p.x + by && x < p.x + p.w - by && y > p.y + by && y < p.y + p.h - by;
const meet = (a, b) =>
  a.x < b.x + b.w - slack && b.x < a.x + a.w - slack && a.y < b.y + b.h - slack && b.y < a.y + a.h - slack;

for (const { face, place, element } of boxes) {
  for (const other of boxes) {
    if (face.key < other.face.key && meet(place, other.place)) faults.add(`${face.title} on ${other.face.title}`);
  }
  for (const text of element.querySelectorAll("text.name, text.words, text.note")) {
    const { x, y, width, height } = text.getBBox();
    const out = x < -slack || x + width > face.w + slack || y < -slack || y + height > face.h + slack;
    if (out) faults.add(`text out of ${face.title}: ${text.textContent}`);
  }
  const container = [...scene.containers.values()].find((c) => c.children.some((child) => child.id === face.key));
  if (container) {
    const frame = scene.layout.boxes.get(container.id);
    const left = place.x - (face.map ? face.map.w + 10 : 0);
    const corners = [[left, place.y - 29], [place.x + place.w, place.y + place.h]]; // 29: room for the frame's title
    if (!corners.every(([x, y]) => inside(frame, x, y, 0))) faults.add(`${face.title} out of ${container.group.title}`);
  }
}
for (const link of scene.links) {
  const length = link.path.getTotalLength();
  for (let i = 0; i <= 60; i++) {
    const { x, y } = link.path.getPointAtLength((length * i) / 60);
    for (const { face, place } of boxes) {
      if (inside(place, x, y, 1)) faults.add(`a line of ${link.node.title} through ${face.title}`);
    }
  }
}
return [...faults];
