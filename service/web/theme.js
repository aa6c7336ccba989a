// Light or dark: as the system has it, or as chosen here. No module, so that it runs before the page is drawn.

{
  const key = "chipvote-theme";
  const root = document.documentElement;
  const storage = (use) => {
    try {
      return use(localStorage);
    } catch {
      return null; // it may be forbidden; then the choice holds until the page is left
    }
  };
  const kept = storage((kept) => kept.getItem(key));
  if (kept) root.dataset.theme = kept;
  addEventListener("DOMContentLoaded", () => {
    document.querySelector("#theme").addEventListener("click", () => {
      const now = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
      root.dataset.theme = now === "dark" ? "light" : "dark";
      storage((kept) => kept.setItem(key, root.dataset.theme));
    });
  });
}
