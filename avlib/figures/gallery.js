begin("gallery", function (me) {
  var now = null;
  function stop() { if (now) now.querySelector("audio").pause(); }
  all(me, ".av-tile").forEach(function (tile) {
    var sound = tile.querySelector("audio"), film = tile.querySelector(".av-film"), button = tile.querySelector("button");
    var seconds = +tile.dataset.seconds;
    function tick() {
      var t = Math.min(sound.currentTime, seconds);
      frame(film, Math.floor(t / seconds * film.dataset.n));
      tile.style.setProperty("--t", t / seconds);
      if (!sound.paused) requestAnimationFrame(tick);
    }
    function mark() {
      tile.classList.toggle("av-now", !sound.paused);
      button.setAttribute("aria-pressed", String(!sound.paused));
    }
    sound.addEventListener("play", function () { mark(); tick(); });
    sound.addEventListener("pause", mark);
    button.addEventListener("click", function () {
      if (!sound.paused) { sound.pause(); return; }
      stop();
      now = tile;
      loud(me, sound);
    });
  });
  hush(me, stop);
});
