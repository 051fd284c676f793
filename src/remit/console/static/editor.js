// The policy editor. Without this script the text area works just as well, without colours.
import {
  EditorState, EditorView, HighlightStyle, bracketMatching, defaultKeymap, drawSelection,
  highlightActiveLine, highlightSelectionMatches, highlightSpecialChars, history, historyKeymap,
  indentOnInput, keymap, lineNumbers, lintGutter, lintKeymap, linter, searchKeymap,
  syntaxHighlighting, tags, yaml,
} from "./vendor/editor.js";

const place = document.getElementById("editor");
const area = document.getElementById("text");
const list = document.getElementById("faults");
const form = document.getElementById("draft");
const file = form.elements.file.value;
const readOnly = place.dataset.readOnly !== undefined;

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--agent)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--allow)" },
  { tag: tags.comment, color: "var(--dim)", fontStyle: "italic" },
  { tag: [tags.keyword, tags.bool, tags.number, tags.atom], color: "var(--person)" },
]);
const look = EditorView.theme({
  "&": { color: "var(--pico-color)", backgroundColor: "var(--card)", fontSize: "13px", maxHeight: "70vh" },
  ".cm-scroller": { fontFamily: "var(--mono)", overflow: "auto" },
  ".cm-gutters": { backgroundColor: "var(--sunk)", color: "var(--dim)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--fresh) 60%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--pico-color)" },
  ".cm-selectionBackground, &.cm-focused .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--pico-primary) 30%, transparent) !important" },
  ".cm-tooltip": { backgroundColor: "var(--card)", color: "var(--pico-color)", border: "1px solid var(--line)" },
  "&.cm-focused": { outline: "3px solid var(--pico-primary)" },
});

function show(faults) {
  list.replaceChildren(...faults.map((fault) => {
    const item = document.createElement("li");
    const where = document.createElement("b");
    item.className = fault.warning ? "dim" : "not-ok";
    item.dataset.line = fault.line;
    where.textContent = `${fault.file}:${fault.line}:${fault.column}`;
    item.append(where, ` ${fault.message} ${fault.suggestion}`);
    return item;
  }));
}

async function faultsOf(view) {
  const body = new URLSearchParams({ file, text: view.state.doc.toString() });
  const answer = await fetch(place.dataset.check, { method: "POST", body, headers: { Accept: "application/json" } });
  if (!answer.ok) return [];
  const faults = await answer.json();
  show(faults);
  return faults.filter((fault) => fault.file === file).map((fault) => {
    const line = view.state.doc.line(Math.min(Math.max(1, fault.line), view.state.doc.lines));
    const from = Math.min(line.from + fault.column - 1, line.to);
    return {
      from, to: Math.min(from + Math.max(1, fault.width), line.to),
      severity: fault.warning ? "warning" : "error",
      message: `${fault.message} ${fault.suggestion}`.trim(),
    };
  });
}

// In a shadow tree the editor's styles are style sheet objects, which a strict policy allows.
const root = place.attachShadow({ mode: "open" });
const view = new EditorView({
  root,
  parent: root,
  state: EditorState.create({
    doc: area.value,
    extensions: [
      lineNumbers(), history(), drawSelection(), highlightSpecialChars(), indentOnInput(),
      bracketMatching(), highlightActiveLine(), highlightSelectionMatches(), yaml(),
      syntaxHighlighting(colours), look, lintGutter(), linter(faultsOf, { delay: 350 }),
      EditorState.readOnly.of(readOnly), EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": `Policy document ${file}` }),
      keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, ...lintKeymap]),
      EditorView.updateListener.of((update) => { if (update.docChanged) area.value = update.state.doc.toString(); }),
    ],
  }),
});
view.scrollDOM.tabIndex = 0; // so that the keyboard scrolls it, too
place.dataset.ready = "true";
list.addEventListener("click", (event) => {
  const item = event.target.closest("[data-line]");
  if (!item) return;
  const at = view.state.doc.line(Math.min(Number(item.dataset.line), view.state.doc.lines));
  view.dispatch({ selection: { anchor: at.from }, scrollIntoView: true });
  view.focus();
});
