/** A person's choice of colours; auto: as the system has it. */
export type Theme = "auto" | "light" | "dark";

const place = "sluice.theme";

export function storedTheme(): Theme {
  const said = localStorage.getItem(place);
  return said === "light" || said === "dark" ? said : "auto";
}

export function applyTheme(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

export function storeTheme(theme: Theme): void {
  if (theme === "auto") localStorage.removeItem(place);
  else localStorage.setItem(place, theme);
  applyTheme(theme);
}
