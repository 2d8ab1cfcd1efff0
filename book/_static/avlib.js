// From a file:// address a browser may not fetch the found pages for their summaries: list the titles alone.
if (window.location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
// The notebook is to be kept, not shown as text.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".btn-download-source-button").forEach((link) => link.setAttribute("download", ""));
  // Their role is out of use; they lie in a list.
  document.querySelectorAll("[role=doc-biblioentry]").forEach((entry) => entry.setAttribute("role", "listitem"));
  // The theme's side bar is no landmark: what it holds would belong to no part of the page.
  const bar = document.querySelector(".bd-sidebar-primary");
  bar?.setAttribute("role", "complementary");
  bar?.setAttribute("aria-label", "Contents of the book");
  bar?.querySelectorAll("summary").forEach((arrow) => arrow.setAttribute("aria-label", "The pages below"));
});
