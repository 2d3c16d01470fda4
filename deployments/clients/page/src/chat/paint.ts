const hiddenPace = 250; // milliseconds between two updates of a page that nobody sees

/** Calls at most once a frame, however often it is asked to; in a hidden page a few times a second. */
export class Paint {
  readonly #draw: () => void;
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(draw: () => void) {
    this.#draw = draw;
  }

  soon(): void {
    if (this.#frame || this.#timer !== undefined) return;
    if (!document.hidden) this.#frame = requestAnimationFrame(() => this.now());
    this.#timer = setTimeout(() => this.now(), hiddenPace); // frames end when the page is hidden
  }

  now(): void {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = 0;
    this.#timer = undefined;
    this.#draw();
  }
}
