// Formatted text in a field: what is seen is what is sent. Without scripts the field holds its HTML, and that works too.
import { icon, words } from "./words.js";

// The tags that a slot takes; what else a value holds comes in as its words.
const TAGS = new Set(["P", "BR", "STRONG", "B", "EM", "I", "U", "UL", "OL", "LI", "A"]);

export function enhance(root) {
  root.querySelectorAll("textarea[data-rich]").forEach((field) => {
    if (!field.dataset.on) build(field);
  });
}

function build(field) {
  field.dataset.on = "1";
  const label = document.querySelector(`label[for="${CSS.escape(field.id)}"]`);
  const editor = document.createElement("div");
  editor.className = "rich-text";
  editor.contentEditable = "true";
  editor.setAttribute("role", "textbox");
  editor.setAttribute("aria-multiline", "true");
  for (const name of ["aria-describedby", "aria-invalid"]) {
    if (field.hasAttribute(name)) editor.setAttribute(name, field.getAttribute(name));
  }
  if (label) {
    label.id ||= `${field.id}-label`;
    label.removeAttribute("for");
    label.addEventListener("click", () => editor.focus());
    editor.setAttribute("aria-labelledby", label.id);
  }
  editor.append(kept(new DOMParser().parseFromString(field.value, "text/html").body));
  if (!editor.children.length) {
    const first = document.createElement("p");
    first.append(...editor.childNodes);
    if (!first.childNodes.length) first.append(document.createElement("br"));
    editor.append(first);
  }
  const show = () => {
    field.dataset.shown = editor.innerText.replace(/\s+/g, " ").trim();
  };
  const sync = (event) => {
    event?.stopPropagation();
    show();
    field.value = field.dataset.shown ? html(kept(editor)) : "";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  editor.addEventListener("focus", () => document.execCommand("defaultParagraphSeparator", false, "p"), { once: true });
  editor.addEventListener("input", sync);
  editor.addEventListener("paste", (event) => {
    event.preventDefault();
    document.execCommand("insertText", false, event.clipboardData.getData("text/plain"));
  });
  field.hidden = true;
  field.before(bar(editor), editor);
  show();
  field.dispatchEvent(new Event("rich"));
}

// A copy of the nodes with nothing in it but the tags of a slot, and links with their address.
function kept(from) {
  const copy = document.createDocumentFragment();
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) copy.append(node.data);
    else if (node.nodeType === Node.ELEMENT_NODE) {
      const inside = kept(node);
      if (TAGS.has(node.tagName) || node.tagName === "DIV") {
        const same = document.createElement(node.tagName === "DIV" ? "p" : node.tagName);
        if (node.tagName === "A" && /^(https?:|mailto:|tel:)/i.test(node.getAttribute("href") || "")) same.setAttribute("href", node.getAttribute("href"));
        same.append(inside);
        copy.append(same);
      } else copy.append(inside);
    }
  }
  return copy;
}

// The nodes of a copy as text: tags of a slot, addresses of links, words.
function html(copy) {
  return [...copy.childNodes].map((node) => {
    if (node.nodeType === Node.TEXT_NODE) return escaped(node.data);
    const name = node.tagName.toLowerCase();
    if (name === "br") return "<br>";
    const href = node.getAttribute("href");
    return `<${name}${href ? ` href="${escaped(href)}"` : ""}>${html(node)}</${name}>`;
  }).join("");
}

function escaped(text) {
  return text.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);
}

function bar(editor) {
  const made = document.createElement("div");
  made.className = "rich-bar";
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", words("richBar"));
  const link = linkRow(editor);
  for (const [command, name] of [["bold", "richBold"], ["italic", "richItalic"], ["insertUnorderedList", "richList"]]) {
    made.append(tool(name, command === "insertUnorderedList" ? icon("list") : letter(command), () => {
      editor.focus();
      document.execCommand(command);
    }));
  }
  made.append(tool("richLink", icon("link"), link.open), link.row);
  return made;
}

function tool(name, face, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "rich-tool";
  button.title = words(name);
  button.setAttribute("aria-label", words(name));
  button.append(face);
  button.addEventListener("mousedown", (event) => event.preventDefault()); // the words stay selected
  button.addEventListener("click", act);
  return button;
}

function letter(command) {
  const made = document.createElement(command === "bold" ? "b" : "i");
  made.textContent = words(command === "bold" ? "richB" : "richI");
  return made;
}

// A row under the tools that asks where the selected words lead.
function linkRow(editor) {
  const row = document.createElement("span");
  row.className = "rich-link";
  row.hidden = true;
  const input = document.createElement("input");
  input.type = "url";
  input.placeholder = "https://";
  input.className = "rich-address";
  input.setAttribute("aria-label", words("richAddress"));
  let range;
  const set = () => {
    row.hidden = true;
    editor.focus();
    if (range) {
      const chosen = getSelection();
      chosen.removeAllRanges();
      chosen.addRange(range);
    }
    const given = input.value.trim();
    if (!given) document.execCommand("unlink");
    else document.execCommand("createLink", false, /^(https?:|mailto:|tel:)/i.test(given) ? given : `https://${given}`);
  };
  const done = document.createElement("button");
  done.type = "button";
  done.className = "button button-small";
  done.textContent = words("richSet");
  done.addEventListener("click", set);
  input.addEventListener("input", (event) => event.stopPropagation());
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      set();
    } else if (event.key === "Escape") {
      row.hidden = true;
      editor.focus();
    }
  });
  row.append(input, done);
  const open = () => {
    const chosen = getSelection();
    range = chosen.rangeCount && editor.contains(chosen.anchorNode) ? chosen.getRangeAt(0).cloneRange() : null;
    input.value = chosen.anchorNode?.parentElement?.closest?.("a")?.getAttribute("href") || "";
    row.hidden = false;
    input.focus();
  };
  return { row, open };
}
