// From a file:// address a browser may not fetch the found pages for their summaries: list the titles alone.
if (window.location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
// The notebook is to be kept, not shown as text.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".btn-download-source-button").forEach((link) => link.setAttribute("download", ""));
});
