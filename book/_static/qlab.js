// The theme's arrows that open a list of pages carry no name for those who cannot see them.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".has-children > details > summary:not([aria-label])").forEach((arrow) => {
    const page = arrow.closest("li").querySelector("a");
    arrow.setAttribute("aria-label", `Pages of ${page ? page.textContent.trim() : "this part"}`);
  });
});

// What scrolls in itself can be scrolled with the keyboard.
window.addEventListener("load", () => {
  const boxes = ".tag_output_scroll > .cell_output, .cell_output .output, .cell_output [style*='overflow'], div.math, pre";
  document.querySelectorAll(boxes).forEach((box) => {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (scrolls && !box.hasAttribute("tabindex")) box.setAttribute("tabindex", "0");
  });
});

// The bibliography calls itself a list, but its entries have a role of their own.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".citation-list[role=list]").forEach((list) => list.removeAttribute("role"));
});
