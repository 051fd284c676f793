// Who acts on whose behalf, drawn. Names are set as text.
import { dagre } from "./vendor/graph.js";

const SVG = "http://www.w3.org/2000/svg";
const shape = (name, attributes) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const short = (name) => (name.length > 26 ? `${name.slice(0, 25)}…` : name);

const place = document.getElementById("graph");
const edges = JSON.parse(place.dataset.edges);
const graph = new dagre.graphlib.Graph();
graph.setGraph({ rankdir: "LR", nodesep: 18, ranksep: 70, marginx: 6, marginy: 6 });
graph.setDefaultEdgeLabel(() => ({}));
for (const [by, byKind, to, toKind, sessions] of edges) {
  for (const [name, kind] of [[by, byKind], [to, toKind]]) {
    graph.setNode(name, { width: 20 + 8 * short(name).length, height: 30, kind });
  }
  graph.setEdge(by, to, { sessions });
}
dagre.layout(graph);
const { width, height } = graph.graph();
const picture = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "graph", "aria-hidden": "true" });
picture.style.maxWidth = `${Math.ceil(width * 1.15)}px`;
const marker = shape("marker", {
  id: "arrow", viewBox: "0 0 8 8", refX: "7", refY: "4", markerWidth: "8", markerHeight: "8", orient: "auto",
});
marker.append(shape("path", { d: "M0,0 L8,4 L0,8 z" }));
picture.append(marker);
for (const edge of graph.edges()) {
  const points = graph.edge(edge).points.map((at) => `${at.x},${at.y}`);
  picture.append(shape("path", { d: `M${points.join(" L")}`, "marker-end": "url(#arrow)" }));
}
for (const name of graph.nodes()) {
  const node = graph.node(name);
  const group = shape("g", { class: node.kind });
  group.append(shape("rect", {
    x: node.x - node.width / 2, y: node.y - 15, width: node.width, height: 30, rx: 6,
  }));
  const text = shape("text", { x: node.x, y: node.y + 4, "text-anchor": "middle" });
  text.textContent = short(name);
  group.append(text);
  picture.append(group);
}
place.append(picture);
