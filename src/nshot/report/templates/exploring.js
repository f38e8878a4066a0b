// The map is complete without this: it shows the nearest row in a box, and one group alone.
for (const chart of document.querySelectorAll("svg.map")) {
  const figure = chart.closest("figure");
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  figure.append(tip);
  const marks = [...chart.querySelectorAll(".point")].map((mark) => {
    const box = mark.getBBox();
    const title = mark.querySelector("title");
    const words = title ? title.textContent : "";
    title?.remove();
    return { mark, words, x: box.x + box.width / 2, y: box.y + box.height / 2 };
  });
  let here = null;
  const hide = () => {
    here?.mark.classList.remove("here");
    here = null;
    tip.hidden = true;
  };
  const show = (event) => {
    const matrix = chart.getScreenCTM();
    if (!matrix) return;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const reach = (event.pointerType === "mouse" ? 9 : 22) / matrix.a;
    let nearest = null;
    let least = reach * reach;
    for (const one of marks) {
      const group = one.mark.parentNode;
      if (chart.classList.contains("one") && !group.classList.contains("on")) continue;
      const apart = (one.x - at.x) ** 2 + (one.y - at.y) ** 2;
      if (apart < least) [nearest, least] = [one, apart];
    }
    if (nearest === here) return;
    hide();
    if (!nearest) return;
    here = nearest;
    here.mark.classList.add("here");
    tip.textContent = here.words;
    const row = here.words.match(/^row ([\d,]+)/)?.[1].replaceAll(",", "");
    const picture = row && document.querySelector(`img[data-row="${row}"]`);
    if (picture) tip.append(picture.cloneNode());
    tip.hidden = false;
    const outer = figure.getBoundingClientRect();
    const left = event.clientX - outer.left + 14;
    tip.style.left = `${Math.max(0, Math.min(left, outer.width - tip.offsetWidth))}px`;
    tip.style.top = `${event.clientY - outer.top + 16}px`;
  };
  chart.addEventListener("pointermove", show);
  chart.addEventListener("pointerdown", show);
  chart.addEventListener("pointerleave", hide);
  const buttons = [...figure.querySelectorAll("button[data-group]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const isOn = button.getAttribute("aria-pressed") === "true";
      for (const other of buttons) other.setAttribute("aria-pressed", "false");
      for (const group of chart.querySelectorAll(".of")) {
        group.classList.toggle("on", !isOn && group.classList.contains(`n${button.dataset.group}`));
      }
      chart.classList.toggle("one", !isOn);
      button.setAttribute("aria-pressed", String(!isOn));
      hide();
    });
  }
}
