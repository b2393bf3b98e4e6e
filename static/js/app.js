// Everything here makes a working page nicer; no page needs it.
import { copyButtons } from "./copy.js";
import { charts } from "./chart.js";
import { languageTabs } from "./tabs.js";
import { themeSwitch } from "./theme.js";

const root = document.documentElement;
root.classList.add("js");

copyButtons();
languageTabs();
charts();
themeSwitch();
revealPasswords();
sendOnce();
document.querySelector("[data-focus]")?.focus();
followSections();

/** A Show/Hide button inside each password field. */
function revealPasswords() {
  for (const box of document.querySelectorAll("[data-reveal]")) {
    const input = box.querySelector("input");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button ghost small reveal";
    const show = (visible) => {
      input.type = visible ? "text" : "password";
      button.textContent = visible ? "Hide" : "Show";
      button.setAttribute("aria-label", visible ? "Hide password" : "Show password");
    };
    button.addEventListener("click", () => show(input.type === "password"));
    input.form.addEventListener("submit", () => show(false));
    show(false);
    box.classList.add("on");
    box.append(button);
  }
}

/** A form whose button says data-once is not sent twice by a double click. */
function sendOnce() {
  for (const button of document.querySelectorAll("[data-once]")) {
    button.form.addEventListener("submit", (event) => {
      if (button.getAttribute("aria-busy") === "true") event.preventDefault();
      button.setAttribute("aria-busy", "true");
    });
    addEventListener("pageshow", () => button.removeAttribute("aria-busy"));
  }
}

/** Mark in the table of contents where the reader is. */
function followSections() {
  const links = new Map(
    [...document.querySelectorAll(".toc a")].map((link) => [link.hash.slice(1), link]),
  );
  if (!links.size) return;
  const observer = new IntersectionObserver(
    (entries) => {
      const entered = entries.find((entry) => entry.isIntersecting);
      if (!entered) return;
      for (const [id, link] of links) {
        if (id === entered.target.id) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    },
    { rootMargin: "-80px 0px -70% 0px" },
  );
  for (const id of links.keys()) observer.observe(document.getElementById(id));
}
