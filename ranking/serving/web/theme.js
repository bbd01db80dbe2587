// Before anything is painted: the theme that the reader chose, else the system's. A plain script, so that it blocks.
{
  const chosen = localStorage.getItem("trichord-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
