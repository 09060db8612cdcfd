// The page of `matting serve`.  What travels over the socket is described in toolchain/serve.
"use strict";

const by = (id) => document.getElementById(id);
const root = document.documentElement;
const PLATE = 1, FRAME = 2, HEAD = 16;
const IN_FLIGHT = 2;        // frames sent and not answered: one being worked on, one waiting
const AGAIN = 1000;         // ms until the next try to connect
const QUALITY = { frame: 0.92, plate: 0.98 };

let socket = null;
let size = [1280, 720];     // the model's; nothing larger is sent
let source = null;          // {element, width, height, still}
let plate = null;           // {whole, canvas, number}: as taken, and as sent; again when needed
let plateKnown = false;     // whether the server has it
let number = 0;
let background = null;      // a picture to stand behind
const sent = new Map();     // number -> when, and the frame it shows
const answered = [];        // when the last answers came
let wanted = {};            // model and hint, as chosen here

// ---- the socket

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => typeof data === "string" ? told(JSON.parse(data)) : answer(data);
  socket.onclose = ({ code, reason }) => {
    root.dataset.link = "closed";
    plateKnown = false;
    sent.clear();
    by("link").textContent = code === 1013 ? "Too many viewers; trying again…" :
      reason ? `Closed: ${reason}; trying again…` : "No connection; trying again…";
    setTimeout(connect, AGAIN);
  };
}

const isOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;
const tell = (what) => { if (isOpen()) socket.send(JSON.stringify(what)); };

function told(message) {
  if (message.type === "hello") {
    root.dataset.link = "open";
    by("link").textContent = "Connected";
    const models = by("model");
    const kept = models.value;
    models.replaceChildren(...message.models.map((key) => new Option(key, key)));
    by("align").disabled = !message.opencv;
    if (message.models.includes(kept) && wanted.model) {
      models.value = kept;
      tell(wanted);
    }
    if (by("align").checked || by("exposure").checked) choosePlateHelp();
    if (plate) sendPlate();
  } else if (message.type === "model") {
    const before = String(size);
    size = message.size;
    if (plate && before !== String(size)) sendPlate();
    by("model").value = message.model;
    by("hint").value = message.hint;
    by("about").textContent = `${size.join("x")}, computes in ${message.executed}. ` +
      (message.weights ? `Weights: ${message.weights}.` : "");
    root.dataset.model = `${message.model} ${message.hint}`;
    say("");
  } else if (message.type === "plate") {
    plateKnown = plate !== null && message.number === plate.number;
    if (plateKnown) root.dataset.plate = String(message.number);
    say("");
    pump();
  } else if (message.type === "advice") {
    const items = message.lines.map((line) => {
      const item = document.createElement("li");
      item.textContent = line.replace("--align", "“Align”")
        .replace("--match-exposure", "“Match the exposure”");
      return item;
    });
    by("advice").replaceChildren(...items);
    by("advice").hidden = !items.length;
  } else if (message.type === "error") {
    if (message.number !== undefined) settle(message.number);
    say(message.message[0].toUpperCase() + message.message.slice(1) + ".");
    if (message.number !== undefined && !(source && source.still)) pump();
  }
}

function say(text) {
  by("message").textContent = text;
  by("message").hidden = !text;
}

// ---- frames out

function drawn(from, canvas = document.createElement("canvas")) {
  const scale = Math.min(1, size[0] / from.width, size[1] / from.height);
  canvas.width = Math.max(1, Math.round(from.width * scale));
  canvas.height = Math.max(1, Math.round(from.height * scale));
  canvas.getContext("2d").drawImage(from.element, 0, 0, canvas.width, canvas.height);
  return canvas;
}

const packed = (canvas, quality) =>
  new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));

async function post(kind, id, canvas, quality) {
  const picture = await (await packed(canvas, quality)).arrayBuffer();
  const message = new Uint8Array(5 + picture.byteLength);
  new DataView(message.buffer).setUint8(0, kind);
  new DataView(message.buffer).setUint32(1, id, true);
  message.set(new Uint8Array(picture), 5);
  if (isOpen()) socket.send(message);
}

function sendPlate() {
  plate.canvas = drawn({ element: plate.whole, width: plate.whole.width, height: plate.whole.height });
  plate.number = ++number;
  plateKnown = false;
  return post(PLATE, plate.number, plate.canvas, QUALITY.plate);
}

function ready() {
  if (!source) return false;
  const { element } = source;
  return !(element instanceof HTMLVideoElement) || element.readyState >= 2;
}

// Sends the newest frame whenever there is room; called at each answer and each screen refresh.
let packing = false;
async function pump() {
  if (packing || !plateKnown || !isOpen() || !ready() || sent.size >= IN_FLIGHT) return;
  if (source.still && source.asked === plate.number) return;
  packing = true;
  try {
    const canvas = drawn(source);
    source.asked = plate.number;
    const id = ++number;
    sent.set(id, { when: performance.now(), canvas });
    await post(FRAME, id, canvas, QUALITY.frame);
  } finally {
    packing = false;
  }
}

function refresh() {
  if (ready() && !plateKnown) preview();
  pump();
  requestAnimationFrame(refresh);
}

function preview() {
  drawn(source, by("frame"));
}

// ---- mattes in

// What is answered has overtaken whatever was sent before it.
function settle(last) {
  for (const id of sent.keys()) if (id <= last) sent.delete(id);
}

const scratch = document.createElement("canvas");
const cutout = document.createElement("canvas");

async function answer(data) {
  const head = new DataView(data, 0, HEAD);
  const entry = sent.get(head.getUint32(0, true));
  settle(head.getUint32(0, true));
  pump();
  if (!entry) return;
  const picture = await createImageBitmap(new Blob([new Uint8Array(data, HEAD)]));
  if (root.dataset.shown && Number(root.dataset.shown) > head.getUint32(0, true)) return;
  const [width, height] = [picture.width, picture.height / 2];
  scratch.width = width;
  scratch.height = 2 * height;
  const reader = scratch.getContext("2d", { willReadFrequently: true });
  reader.drawImage(picture, 0, 0);
  const colour = reader.getImageData(0, 0, width, height);
  const grey = reader.getImageData(0, height, width, height);
  for (let at = 0; at < grey.data.length; at += 4) colour.data[at + 3] = grey.data[at];
  for (const [canvas, pixels] of [[cutout, colour], [by("alpha"), grey]]) {
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }
  const frame = by("frame");
  frame.width = width;
  frame.height = height;
  frame.getContext("2d").drawImage(entry.canvas, 0, 0);
  const now = performance.now();
  answered.push(now);
  compose();
  by("save").disabled = false;
  while (answered.length > 20 || now - answered[0] > 5000) answered.shift();
  const span = answered[answered.length - 1] - answered[0];
  by("rate").textContent = span ? ((answered.length - 1) * 1000 / span).toFixed(1) : "–";
  by("latency").textContent = `${(now - entry.when).toFixed(0)} ms`;
  by("inference").textContent = `${head.getFloat32(8, true).toFixed(0)} ms`;
  by("dropped").textContent = String(head.getUint32(4, true));
  root.dataset.shown = String(head.getUint32(0, true));
  root.dataset.answers = String(Number(root.dataset.answers ?? 0) + 1);
}

const chosen = () => document.querySelector("input[name=background]:checked").value;

function compose() {
  if (!answered.length) return;
  const canvas = by("composite");
  canvas.width = cutout.width;
  canvas.height = cutout.height;
  const pen = canvas.getContext("2d");
  const behind = chosen();
  if (behind === "colour") {
    pen.fillStyle = by("colour").value;
    pen.fillRect(0, 0, canvas.width, canvas.height);
  } else if (behind === "blur" && plate) {
    pen.filter = `blur(${Math.round(canvas.height / 40)}px)`;
    cover(pen, plate.canvas);
    pen.filter = "none";
  } else if (behind === "picture" && background) {
    cover(pen, background);
  }
  pen.drawImage(cutout, 0, 0);
  root.dataset.background = behind;
}

function cover(pen, picture) {
  const { width, height } = pen.canvas;
  const scale = Math.max(width / picture.width, height / picture.height);
  const [w, h] = [picture.width * scale, picture.height * scale];
  pen.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
}

// ---- sources

function use(next) {
  if (source && source.stream) for (const track of source.stream.getTracks()) track.stop();
  source = next;
  by("capture").disabled = !next;
  plate = null;
  plateKnown = false;
  sent.clear();
  by("advice").hidden = true;
  delete root.dataset.plate;
  say("");
}

async function startCamera(id) {
  if (!navigator.mediaDevices) {
    say("Browsers give cameras only to localhost and https. Files work here.");
    return;
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { width: { ideal: 1280 }, height: { ideal: 720 }, ...(id ? { deviceId: id } : {}) },
    });
    const element = await playing((video) => { video.srcObject = stream; });
    use({ element, width: element.videoWidth, height: element.videoHeight, stream });
    const [track] = stream.getVideoTracks();
    track.onended = () => { use(null); say("The camera has gone."); };
    const cameras = (await navigator.mediaDevices.enumerateDevices())
      .filter((device) => device.kind === "videoinput");
    by("cameras").replaceChildren(...cameras.map((device, index) =>
      new Option(device.label || `Camera ${index + 1}`, device.deviceId)));
    by("cameras").value = track.getSettings().deviceId ?? "";
    by("cameras").hidden = cameras.length < 2;
    root.dataset.source = "camera";
  } catch (error) {
    root.dataset.source = "none";
    say({
      NotAllowedError: "The camera was refused. Allow it in the address bar and press “Start camera” again, or choose two files.",
      NotFoundError: "No camera was found. Plug one in, or choose two files.",
      NotReadableError: "The camera is in use by another program.",
    }[error.name] ?? `The camera can't be used: ${error.message}.`);
  }
}

function playing(prepare) {
  const video = document.createElement("video");
  video.muted = video.loop = video.playsInline = true;
  return new Promise((done, failed) => {
    video.onloadeddata = () => video.play().then(() => done(video), failed);
    video.onerror = () => failed(new Error("not a video that this browser plays"));
    prepare(video);
  });
}

async function opened(file) {
  if (file.type.startsWith("video/")) {
    const element = await playing((video) => { video.src = URL.createObjectURL(file); });
    return { element, width: element.videoWidth, height: element.videoHeight };
  }
  const element = await createImageBitmap(file);
  return { element, width: element.width, height: element.height, still: true };
}

async function chooseFile(input, take) {
  const [file] = input.files;
  if (!file) return;
  try {
    await take(await opened(file));
  } catch (error) {
    say(`${file.name} can't be shown: ${error.message}.`);
  }
}

async function plateFrom(picture) {
  const canvas = document.createElement("canvas");
  const shape = source ?? picture;
  const apart = picture.width * shape.height / (picture.height * shape.width);
  if (Math.abs(apart - 1) > 0.01) {
    say(`The plate is ${picture.width}x${picture.height}, the frame ${source.width}x${source.height}: ` +
      "take both with the same camera.");
    return;
  }
  canvas.width = shape.width;
  canvas.height = shape.height;
  canvas.getContext("2d").drawImage(picture.element, 0, 0, canvas.width, canvas.height);
  plate = { whole: canvas };
  await sendPlate();
}

let platePicture = null;    // a file chosen before its frame
by("frame-file").onchange = ({ target }) => chooseFile(target, async (picture) => {
  use(picture);
  root.dataset.source = "file";
  preview();
  if (platePicture) await plateFrom(platePicture);
});
by("plate-file").onchange = ({ target }) => chooseFile(target, async (picture) => {
  platePicture = picture;
  if (source) await plateFrom(picture);
});

by("camera").onclick = () => startCamera();
by("cameras").onchange = ({ target }) => startCamera(target.value);
by("capture").onclick = async () => {
  const button = by("capture"), text = button.textContent;
  button.disabled = true;
  for (let left = Number(by("delay").value); left > 0; left--) {
    button.textContent = `Step out… ${left}`;
    await new Promise((done) => setTimeout(done, 1000));
  }
  button.textContent = text;
  button.disabled = !source;
  if (!ready()) return;
  const whole = document.createElement("canvas");
  whole.width = source.width;
  whole.height = source.height;
  whole.getContext("2d").drawImage(source.element, 0, 0);
  plate = { whole };
  await sendPlate();
};

// ---- choices

function choosePlateHelp() {
  tell({ align: by("align").checked, exposure: by("exposure").checked });
  if (source) source.asked = null;
  pump();
}
by("align").onchange = by("exposure").onchange = choosePlateHelp;
by("model").onchange = by("hint").onchange = () => {
  wanted = { model: by("model").value, hint: by("hint").value };
  tell(wanted);
  if (source) source.asked = null;
};
for (const radio of document.querySelectorAll("input[name=background]")) radio.onchange = compose;
const choose = (value) => {
  document.querySelector(`input[name=background][value=${value}]`).checked = true;
  compose();
};
by("colour").oninput = () => choose("colour");
by("picture").onchange = ({ target }) => chooseFile(target, ({ element }) => {
  background = element;
  choose("picture");
});
by("save").onclick = () => by("composite").toBlob((blob) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = "matte.png";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}, "image/png");

connect();
refresh();
