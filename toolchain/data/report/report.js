"use strict";
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  let run = data.chosen;
  let backdrop = "#00b140";

  const nameOf = (key) =>
    key === "original" ? "Original" : key === "truth" ? "Ground truth" : data.labels[key];

  function paintBackdrop(context, width, height) {
    context.fillStyle = backdrop === "checks" ? "#ffffff" : backdrop;
    context.fillRect(0, 0, width, height);
    if (backdrop !== "checks") return;
    const side = Math.max(8, Math.round(width / 64));
    context.fillStyle = "#b9bfc5";
    for (let y = 0, row = 0; y < height; y += side, row += 1) {
      for (let x = (row % 2) * side; x < width; x += 2 * side) context.fillRect(x, y, side, side);
    }
  }

  class Frame {
    constructor(article) {
      this.article = article;
      this.worst = data.worst[Number(article.dataset.frame)];
      this.images = new Map(
        all("[data-image]", article).map((image) => [image.dataset.image, image]),
      );
      this.slider = article.querySelector("canvas.slider");
      this.composite = article.querySelector("canvas.composite");
      this.range = article.querySelector(".divider input");
      this.zoomChoice = article.querySelector("[data-zoom]");
      this.sides = Object.fromEntries(
        all("select[data-side]", article).map((select) => [select.dataset.side, select]),
      );
      this.centre = [0.5, 0.5];
      this.listen();
    }

    get zoom() {
      return Number(this.zoomChoice.value);
    }

    get show() {
      return this.article.querySelector(".compare fieldset input:checked").value;
    }

    listen() {
      for (const control of all(".compare select, .compare fieldset input", this.article)) {
        control.addEventListener("change", () => this.drawSlider());
      }
      this.range.addEventListener("input", () => this.drawSlider());
      this.article.querySelector("[data-worst]").addEventListener("click", () => this.goToWorst());
      const canvas = this.slider;
      const drag = (event) => {
        if (!(event.buttons & 1)) return;
        const box = canvas.getBoundingClientRect();
        this.split((event.clientX - box.left) / box.width);
      };
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        drag(event);
      });
      canvas.addEventListener("pointermove", drag);
      canvas.addEventListener("dblclick", (event) => {
        const box = canvas.getBoundingClientRect();
        const [left, top, width, height] = this.window();
        this.centre = [
          (left + ((event.clientX - box.left) / box.width) * width) / canvas.width,
          (top + ((event.clientY - box.top) / box.height) * height) / canvas.height,
        ];
        this.setZoom(this.zoom * 2);
      });
      canvas.addEventListener("keydown", (event) => this.key(event));
    }

    key(event) {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (event.key === "+" || event.key === "=") this.setZoom(this.zoom * 2);
      else if (event.key === "-") this.setZoom(this.zoom / 2);
      else if (move[event.key] && this.zoom > 1) {
        const step = 0.1 / this.zoom;
        // From the current view, so that a key press at the border has an effect.
        const [left, top, width, height] = this.window();
        this.centre = [
          (left + width / 2) / this.slider.width + move[event.key][0] * step,
          (top + height / 2) / this.slider.height + move[event.key][1] * step,
        ];
        this.drawSlider();
      } else if (move[event.key] && move[event.key][0]) {
        this.split(Number(this.range.value) / 1000 + move[event.key][0] * 0.02);
      } else return;
      event.preventDefault();
    }

    split(share) {
      this.range.value = Math.round(Math.min(1, Math.max(0, share)) * 1000);
      this.drawSlider();
    }

    setZoom(zoom) {
      this.zoomChoice.value = Math.min(16, Math.max(1, zoom));
      this.drawSlider();
    }

    goToWorst() {
      const right = this.sides.right.value;
      this.centre = this.worst[right] || this.worst[run] || this.centre;
      this.setZoom(8);
    }

    // The visible part of the images: left, top, width, height in their pixels.
    window() {
      const { width, height } = this.slider;
      const across = width / this.zoom;
      const down = height / this.zoom;
      const left = Math.min(Math.max(this.centre[0] * width - across / 2, 0), width - across);
      const top = Math.min(Math.max(this.centre[1] * height - down / 2, 0), height - down);
      return [left, top, across, down];
    }

    drawSlider() {
      const { width, height } = this.slider;
      const context = this.slider.getContext("2d");
      const at = Math.round((width * Number(this.range.value)) / 1000);
      context.imageSmoothingEnabled = this.zoom === 1;
      this.drawSide(context, this.sides.left.value, 0, at);
      this.drawSide(context, this.sides.right.value, at, width - at);
      context.fillStyle = "#0a0e12";
      context.fillRect(at - 2, 0, 5, height);
      context.fillStyle = "#ffffff";
      context.fillRect(at - 1, 0, 3, height);
      const [left, right] = ["left", "right"].map((side) => nameOf(this.sides[side].value));
      this.article.querySelector(".tag.left").textContent = left;
      this.article.querySelector(".tag.right").textContent = right;
      const share = Math.round(Number(this.range.value) / 10);
      this.range.setAttribute("aria-valuetext", `${share} % ${left}, ${100 - share} % ${right}`);
      this.slider.setAttribute(
        "aria-label",
        `${this.show === "alpha" ? "Alpha matte" : "Composite"}, left ${left}, right ${right}, ` +
          `zoom ${this.zoom}`,
      );
    }

    drawSide(context, key, from, across) {
      const { width, height } = this.slider;
      const cutout = this.images.get(`cutout-${key}`);
      const composite = this.show === "composite" && cutout;
      context.save();
      context.beginPath();
      context.rect(from, 0, across, height);
      context.clip();
      if (composite) paintBackdrop(context, width, height);
      const image = composite ? cutout : this.images.get(`alpha-${key}`);
      context.drawImage(image, ...this.window(), 0, 0, width, height);
      context.restore();
    }

    drawComposite() {
      const { width, height } = this.composite;
      const context = this.composite.getContext("2d");
      paintBackdrop(context, width, height);
      context.drawImage(this.images.get(`cutout-${run}`), 0, 0, width, height);
    }

    draw() {
      this.drawSlider();
      this.drawComposite();
    }
  }

  function chooseRun(next, frames) {
    run = next;
    for (const element of all("[data-run]")) element.hidden = element.dataset.run !== run;
    for (const figure of all("[data-variant]")) {
      if (figure.dataset.variant === run) figure.setAttribute("aria-current", "true");
      else figure.removeAttribute("aria-current");
    }
    for (const frame of frames) {
      frame.sides.right.value = run;
      frame.draw();
    }
    document.getElementById("status").textContent = `Shown: ${data.labels[run]}`;
  }

  function chooseBackdrop(next, frames) {
    backdrop = next;
    for (const button of all(".backdrop button")) {
      button.setAttribute("aria-pressed", String(button.dataset.colour === next));
    }
    if (next !== "checks") document.getElementById("colour").value = next;
    for (const frame of frames) frame.draw();
  }

  function start() {
    root.classList.add("scripted");
    for (const radio of all("input[name=theme]")) {
      radio.addEventListener("change", () => {
        if (radio.value === "auto") delete root.dataset.theme;
        else root.dataset.theme = radio.value;
      });
    }
    const frames = all("[data-frame]").map((article) => new Frame(article));
    if (!frames.length) return;
    for (const radio of all("input[name=run]")) {
      radio.addEventListener("change", () => chooseRun(radio.value, frames));
    }
    for (const button of all(".backdrop button")) {
      button.addEventListener("click", () => chooseBackdrop(button.dataset.colour, frames));
    }
    const colour = document.getElementById("colour");
    colour.addEventListener("input", () => chooseBackdrop(colour.value, frames));
    const chosen = document.querySelector("input[name=run]:checked"); // a reload may keep another
    chooseRun(chosen ? chosen.value : run, frames);
    root.dataset.ready = "true";
  }

  if (document.readyState === "complete") start();
  else window.addEventListener("load", start);
})();
