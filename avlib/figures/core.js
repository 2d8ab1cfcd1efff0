"use strict";
function all(root, what) { return Array.prototype.slice.call(root.querySelectorAll(what)); }
function frame(strip, k) {
  var c = +strip.dataset.c, r = +strip.dataset.r;
  k = Math.max(0, Math.min(k, strip.dataset.n - 1));
  strip.style.transform = "translate(" + (-(k % c) * 100 / c) + "%," + (-Math.floor(k / c) * 100 / r) + "%)";
}
function hush(me, stop) {
  document.addEventListener("av-play", function (event) { if (event.detail !== me) stop(); });
}
function loud(me, sound) {
  document.dispatchEvent(new CustomEvent("av-play", { detail: me }));
  var begun = sound.play();
  if (begun) begun.catch(function () {});
}
function press(buttons, chosen) {
  buttons.forEach(function (b, k) { b.setAttribute("aria-pressed", String(k === chosen)); });
}
function begin(kind, start) {
  all(document, '.av[data-av="@NAME@"]:not(.av-on)').forEach(function (me) { me.classList.add("av-on"); start(me); });
}
