begin("matrix", function (me) {
  var cells = all(me, "td button"), sounds = all(me, "audio"), n = sounds.length, now = null, here = 0;
  var film = me.querySelector(".av-look .av-film"), spec = me.querySelector(".av-look .av-ear-film");
  var say = me.querySelector(".av-say"), hover = me.querySelector(".av-hover"), cursor = me.querySelector(".av-cursor");
  var ticking = false;
  all(me, "th .av-zoom").forEach(function (place) {
    var strip = (place.dataset.of === "sound" ? spec : film).cloneNode();
    place.appendChild(strip);
    frame(strip, +place.dataset.k);
  });
  function stop() { if (now) now.pause(); }
  function tick() {
    cursor.style.left = 100 * now.currentTime / (now.duration || 1) + "%";
    ticking = !now.paused;
    if (ticking) requestAnimationFrame(tick);
  }
  function hear(j) {
    stop();
    now = sounds[j];
    now.currentTime = 0;
    loud(me, now);
    if (!ticking) tick();
  }
  function show(k, aloud) {
    cells[here].classList.remove("av-now");
    cells[here].tabIndex = -1;
    here = k;
    cells[k].classList.add("av-now");
    cells[k].tabIndex = 0;
    frame(film, Math.floor(k / n));
    frame(spec, k % n);
    say.textContent = cells[k].getAttribute("aria-label");
    if (aloud) hear(k % n);
  }
  function free() { return hover.getAttribute("aria-pressed") === "true"; }
  cells.forEach(function (cell, k) {
    cell.addEventListener("pointerenter", function () { show(k, free()); });
    cell.addEventListener("focus", function () { if (here !== k) show(k, free()); });
    cell.addEventListener("click", function () { show(k, true); });
    cell.addEventListener("keydown", function (event) {
      var to = { ArrowLeft: k % n ? k - 1 : k, ArrowRight: (k + 1) % n ? k + 1 : k, ArrowUp: k - n, ArrowDown: k + n }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      if (cells[to]) cells[to].focus();
    });
  });
  hover.addEventListener("click", function () { hover.setAttribute("aria-pressed", String(!free())); if (!free()) stop(); });
  hush(me, stop);
  show(0, false);
});
