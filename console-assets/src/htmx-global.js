// The SSE extension looks for htmx in the global scope.
import htmx from "htmx.org/dist/htmx.esm.js";
window.htmx = htmx;
