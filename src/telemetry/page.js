(() => {
  "use strict";
  const PERIOD = 5000;
  const tools = document.getElementById("tools");
  const find = document.getElementById("find");
  const found = document.getElementById("found");
  const stale = document.getElementById("stale");
  const main = () => document.querySelector("main");

  function filter() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let all = 0, shown = 0;
    for (const part of main().querySelectorAll("[data-find]")) {
      const fits = words.every((word) => part.dataset.find.includes(word));
      part.hidden = !fits;
      all += 1;
      shown += fits ? 1 : 0;
    }
    found.textContent = words.length ? `${shown} of ${all}` : "";
  }

  // What stands at the top stays there, however much is new above it.
  function anchor() {
    const edge = tools.getBoundingClientRect().bottom + 12;
    const part = document.elementFromPoint(innerWidth / 2, edge)?.closest("main [id]");
    return part ? { id: part.id, top: part.getBoundingClientRect().top } : null;
  }

  function swap(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    const fresh = next.querySelector("main");
    if (!fresh) throw new Error("no page");
    const at = scrollY > 0 ? anchor() : null;
    const active = main().contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    main().replaceWith(document.adoptNode(fresh));
    document.title = next.title;
    filter();
    if (active !== null) main().querySelector(`a[href="${CSS.escape(active)}"]`)?.focus({ preventScroll: true });
    const part = at && document.getElementById(at.id);
    if (part) scrollBy(0, part.getBoundingClientRect().top - at.top);
  }

  let answered = new Date();
  async function refresh() {
    try {
      if (document.hidden) return;
      const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(4 * PERIOD) });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
      answered = new Date();
      stale.hidden = true;
      // Who marks something wants to copy it.
      if (getSelection().isCollapsed) swap(text);
    } catch {
      stale.textContent = `No answer since ${answered.toLocaleTimeString()}: what is shown is from then.`;
      stale.hidden = false;
    } finally {
      setTimeout(refresh, PERIOD);
    }
  }

  tools.hidden = false;
  find.value = new URLSearchParams(location.search).get("find") ?? "";
  find.addEventListener("input", () => {
    filter();
    const query = find.value ? `?find=${encodeURIComponent(find.value)}` : location.pathname;
    history.replaceState(null, "", query + location.hash);
  });
  filter();
  setTimeout(refresh, PERIOD);
})();
