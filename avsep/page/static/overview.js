// The bar below the lanes: which part of the clip they show. It scrolls them.

export class Overview {
  constructor(bar, view) {
    this.bar = bar;
    this.view = view;
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.thumb = bar.firstElementChild;
    let grip = null;
    const seconds = (event) => ((event.clientX - bar.getBoundingClientRect().left) / bar.clientWidth) * view.seconds;
    bar.addEventListener(
      "pointerdown",
      (event) => {
        const at = seconds(event);
        grip = at >= view.start && at <= view.end ? at - view.start : view.length / 2;
        bar.setPointerCapture(event.pointerId);
        view.scroll(at - grip - view.start);
      },
      { signal },
    );
    bar.addEventListener(
      "pointermove",
      (event) => {
        if (grip !== null) view.scroll(seconds(event) - grip - view.start);
      },
      { signal },
    );
    for (const end of ["pointerup", "pointercancel"]) bar.addEventListener(end, () => (grip = null), { signal });
    bar.addEventListener("keydown", (event) => this.key(event), { signal });
    view.addEventListener("change", () => this.show(), { signal });
    this.show();
  }

  key(event) {
    const by = { ArrowLeft: -0.1, ArrowRight: 0.1, PageUp: -0.9, PageDown: 0.9 }[event.key];
    if (!by) return;
    this.view.scroll(by * this.view.length);
    event.preventDefault();
    event.stopPropagation();
  }

  show() {
    const { view, thumb, bar } = this;
    thumb.style.left = `${(100 * view.start) / view.seconds}%`;
    thumb.style.width = `${(100 * view.length) / view.seconds}%`;
    bar.classList.toggle("whole", view.length >= view.seconds);
    bar.setAttribute("aria-valuemax", Math.round(view.seconds - view.length));
    bar.setAttribute("aria-valuenow", Math.round(view.start));
  }

  close() {
    this.stop.abort();
  }
}
