// Right after what the server rendered: a reader starts at the transcript's end, or, after
// a reload, where they were (view/place.js), without a jump later; and who types at once,
// types a message. A classic script, for modules run only after the first paint.
{
  const scroller = /** @type {HTMLElement} */ (document.getElementById("scroller"));

  const storedPlace = () => {
    const [entry] = performance.getEntriesByType("navigation");
    const { type } = /** @type {PerformanceNavigationTiming} */ (entry);
    if (type === "navigate") return null;
    return JSON.parse(sessionStorage.getItem(`place:${location.pathname}`) ?? "null");
  };

  const goToPlace = () => {
    const { run, runTop } = storedPlace() ?? {};
    const element = document.getElementById(`run-${run}`);
    if (!element) return false;
    const { top } = scroller.getBoundingClientRect();
    // Before the first frame nothing is in view, so no run has its own height yet.
    element.style.contentVisibility = "visible";
    scroller.scrollTop += element.getBoundingClientRect().top - top - runTop;
    // A frame later that is remembered, and the run may be left out again when unseen.
    const release = () => element.style.removeProperty("content-visibility");
    requestAnimationFrame(() => requestAnimationFrame(release));
    return true;
  };

  let isThere = location.hash !== "" || !scroller.querySelector(".run");
  try {
    isThere = goToPlace() || isThere;
  } catch {
    // No storage: no place was kept.
  }
  if (!isThere) scroller.scrollTop = scroller.scrollHeight;

  const form = /** @type {HTMLFormElement} */ (document.getElementById("composer"));
  const message = /** @type {HTMLTextAreaElement} */ (
    form.elements.namedItem("message")
  );
  const isTouch = matchMedia("(pointer: coarse)").matches; // there a keyboard would rise
  if (!isTouch) message.focus({ preventScroll: true });
  message.addEventListener("keydown", (event) => {
    // 229: of a composition, which Safari ends with an Enter that is none.
    const isComposing = event.isComposing || event.keyCode === 229;
    const isEnter = event.key === "Enter" && !event.shiftKey && !isComposing;
    if (form.dataset.ready !== undefined || isTouch || !isEnter) return;
    event.preventDefault();
    form.dataset.asked = ""; // view/composer.js asks it
  });
}
