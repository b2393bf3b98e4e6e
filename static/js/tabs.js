const KEY = "language";

/** One choice of language for all samples, remembered on this machine. */
export function languageTabs() {
  const inputs = [...document.querySelectorAll("[data-tabs] input")];
  const choose = (language) => {
    for (const input of inputs) if (input.value === language) input.checked = true;
  };
  for (const input of inputs) {
    input.addEventListener("change", () => {
      const top = input.getBoundingClientRect().top;
      choose(input.value);
      remember(input.value);
      // Samples above may have changed their height; keep the clicked one where it was.
      scrollBy(0, input.getBoundingClientRect().top - top);
    });
  }
  choose(remembered());
}

function remember(language) {
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // Storage may be off; then the choice holds for this page.
  }
}

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
