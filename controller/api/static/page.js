"use strict";
// Keeps the landing page as it would be if it were loaded again, without loading it again: what differs is changed in place,
// so that focus, selection and what was opened stay. The stream tells when there is something new; every 15 seconds it is
// looked at anyway. Without this script the page reloads itself.
(() => {
  const EVERY = 15000, SOON = 300, PATIENCE = 10000;
  const status = document.getElementById("live"), news = document.getElementById("news");
  let due = 0, asking = false, again = false, lost = false, pause = 1000;

  // What is told aloud when it changes: key -> text.
  const told = () => new Map([...document.querySelectorAll("main [data-say]")].map(
    (each) => [each.dataset.say, each.textContent.trim()]));

  const key = (node) => node.nodeType === Node.ELEMENT_NODE ? node.id : "";

  const alike = (one, other) =>
    one.nodeType === other.nodeType && one.nodeName === other.nodeName && key(one) === key(other);

  const attributes = (old, fresh) => {
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  };

  const become = (old, fresh) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue === fresh.nodeValue) return;
      old.nodeValue = fresh.nodeValue;
      if (!old.parentElement?.closest(".dim")) old.parentElement?.setAttribute("data-fresh", ""); // ages always differ
      return;
    }
    attributes(old, fresh);
    const known = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
    let place = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const named = known.get(key(wanted));
      if (named && named !== place) old.insertBefore(named, place);
      const here = named ?? (place && alike(place, wanted) ? place : null);
      if (here && alike(here, wanted)) {
        place = here.nextSibling;
        become(here, wanted);
      } else {
        old.insertBefore(document.adoptNode(wanted), place);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  };

  const announce = (before, after) => {
    const changed = [...after].filter(([name, text]) => before.get(name) !== text).map(
      ([name, text]) => text.startsWith(name) ? `${text}.` : `${name}: ${text}`);
    const gone = [...before.keys()].filter((name) => !after.has(name)).map((name) => `${name} is no longer shown.`);
    const all = [...changed, ...gone], more = all.length > 3 ? ` And ${all.length - 3} more changes.` : "";
    const last = Math.min(all.length, 3) - 1;
    const parted = (each, i) => i < last && !each.endsWith(".") ? `${each}.` : each;
    if (all.length) news.textContent = all.slice(0, 3).map(parted).join(" ") + more;
  };

  const clock = () => new Date().toLocaleTimeString();

  const look = async () => {
    const answer = await fetch(location.pathname, {
      cache: "no-cache", credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(PATIENCE),
    });
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html"), main = fresh.querySelector("main");
    if (!main) throw new Error("it answered something else");
    const before = told();
    become(document.querySelector("main"), main);
    document.title = fresh.title;
    announce(before, told());
  };

  const refresh = async () => {
    clearTimeout(due);
    if (asking) { again = true; return; }
    asking = true;
    again = false;
    try {
      await look();
      status.textContent = `Live; looked at ${clock()}.`;
      if (lost) news.textContent = "The controller answers again.";
      lost = false;
    } catch (problem) {
      if (!lost) {
        const said = `The controller does not answer since ${clock()} (${problem.message}). What you see is of before; it is tried again.`;
        news.textContent = status.textContent = said;
      }
      lost = true;
    }
    asking = false;
    later(again ? SOON : EVERY);
  };

  const later = (wait) => {
    clearTimeout(due);
    if (!document.hidden) due = setTimeout(refresh, wait);
  };

  const listen = () => {
    const address = new URL("api/v1/stream?topics=plans,programs,fleet", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.onopen = () => { pause = 1000; };
    socket.onmessage = () => later(SOON);
    socket.onclose = () => { // where there is no stream, looking every now and then is what remains
      setTimeout(listen, pause);
      pause = Math.min(2 * pause, 60000);
    };
  };

  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  document.addEventListener("animationend", (event) => event.target.removeAttribute("data-fresh"));
  status.textContent = "Live.";
  later(EVERY);
  listen();
})();
