export { default as dagre } from "@dagrejs/dagre";
