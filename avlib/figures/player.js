begin("player", function (me) {
  var sounds = all(me, "audio"), specs = all(me, ".av-spec img"), heats = all(me, ".av-heat");
  var film = me.querySelector(".av-film"), spec = me.querySelector(".av-spec"), cursor = me.querySelector(".av-cursor");
  var play = me.querySelector(".av-play"), ears = all(me, ".av-ear"), eyes = all(me, ".av-eye");
  var fps = +me.dataset.fps, seconds = +me.dataset.seconds, now = 0, ticking = false, held = null;
  function draw() {
    var t = Math.min(sounds[now].currentTime, seconds);
    frame(film, Math.floor(t * fps));
    heats.forEach(function (h) { frame(h, Math.floor(t * fps)); });
    cursor.style.left = 100 * t / seconds + "%";
    spec.setAttribute("aria-valuenow", t.toFixed(2));
    spec.setAttribute("aria-valuetext", t.toFixed(2) + " s");
  }
  function tick() {
    draw();
    ticking = !sounds[now].paused;
    if (ticking) requestAnimationFrame(tick);
  }
  function label() {
    var on = !sounds[now].paused && !sounds[now].ended;
    play.textContent = on ? "\u275A\u275A\uFE0E Pause" : "\u25B6\uFE0E Play";
    if (on && !ticking) { ticking = true; tick(); }
  }
  function stop() { sounds[now].pause(); }
  function toggle() { if (sounds[now].paused) loud(me, sounds[now]); else stop(); }
  function seek(t) { sounds[now].currentTime = Math.max(0, Math.min(t, seconds - 0.01)); draw(); }
  function listen(k) {
    var from = sounds[now], going = !from.paused, t = from.ended ? 0 : from.currentTime;
    from.pause();
    now = k;
    specs.forEach(function (s, j) { s.hidden = j !== k; });
    press(ears, k);
    seek(t);
    if (going) loud(me, sounds[now]);
    label();
  }
  sounds.forEach(function (s) {
    ["play", "pause", "ended"].forEach(function (e) { s.addEventListener(e, label); });
    s.addEventListener("seeked", draw);
  });
  play.addEventListener("click", toggle);
  me.querySelector(".av-screen").addEventListener("click", toggle);
  ears.forEach(function (b, k) { b.addEventListener("click", function () { listen(k); }); });
  eyes.forEach(function (b, k) {
    b.addEventListener("click", function () {
      var off = heats[k].hidden;
      heats.forEach(function (h, j) { h.hidden = !(off && j === k); });
      press(eyes, off ? k : -1);
    });
  });
  function follow(event) {
    var box = spec.getBoundingClientRect();
    seek((event.clientX - box.left) / box.width * seconds);
  }
  spec.addEventListener("pointerdown", function (event) {
    if (event.button !== 0) return;
    held = event;
    spec.setPointerCapture(event.pointerId);
    if (event.pointerType !== "touch") follow(event);
  });
  spec.addEventListener("pointermove", function (event) {
    if (!held) return;
    var x = Math.abs(event.clientX - held.clientX), y = Math.abs(event.clientY - held.clientY);
    if (event.pointerType !== "touch" || x > y) follow(event);  // a finger that goes up or down scrolls the page
  });
  spec.addEventListener("pointerup", function (event) { if (held) follow(event); held = null; });
  spec.addEventListener("pointercancel", function () { held = null; });
  spec.addEventListener("keydown", function (event) {
    var t = sounds[now].currentTime, to = { ArrowLeft: t - 0.1, ArrowRight: t + 0.1, Home: 0, End: seconds }[event.key];
    if (event.key === " " || event.key === "Enter") toggle();
    else if (to === undefined) return;
    else seek(to);
    event.preventDefault();
  });
  hush(me, stop);
  label();
});
