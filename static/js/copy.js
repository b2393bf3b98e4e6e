import { toast } from "./toast.js";

/** Buttons that copy the text of the element they name; in a tabbed box, that of the open tab. */
export function copyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = visibleText(document.getElementById(button.dataset.copy));
      toast((await copy(source)) ? "Copied" : "Couldn’t copy. Select the text and press Ctrl+C.");
    });
  }
}

function visibleText(element) {
  const panes = [...element.querySelectorAll("pre")];
  return panes.find((pane) => pane.offsetParent !== null) ?? element;
}

async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    // Over plain http there is no clipboard API, so the selection has to do.
    return copySelection(element);
  }
}

function copySelection(element) {
  const selection = getSelection();
  selection.selectAllChildren(element);
  const copied = document.execCommand("copy");
  if (copied) selection.removeAllRanges();
  return copied;
}
