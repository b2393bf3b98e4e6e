let timer;

/** Say something short, also to screen readers, for five seconds. */
export function toast(text) {
  const box = document.querySelector("[data-toast]");
  clearTimeout(timer);
  box.textContent = text;
  requestAnimationFrame(() => box.classList.add("on"));
  timer = setTimeout(() => box.classList.remove("on"), 5000);
}
