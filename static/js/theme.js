/** Switch the theme at once; the form's answer only sets the cookie. */
export function themeSwitch() {
  for (const form of document.querySelectorAll("[data-theme-form]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const theme = event.submitter.value;
      document.documentElement.dataset.theme = theme;
      for (const button of document.querySelectorAll("[data-theme-form] button")) {
        button.setAttribute("aria-pressed", String(button.value === theme));
      }
      fetch(form.action, { method: "POST", body: new FormData(form, event.submitter), redirect: "manual" });
    });
  }
}
