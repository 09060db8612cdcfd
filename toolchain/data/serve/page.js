// The page of `matting serve`. The messages are described in toolchain/serve/__init__.py.
"use strict";

const byId = (id) => document.getElementById(id);
const root = document.documentElement;
const PLATE = 1, FRAME = 2, REPLY_HEADER = 16;
const MAX_IN_FLIGHT = 2;    // frames without a reply: one being processed, one waiting
const RECONNECT_MS = 1000;
const JPEG_QUALITY = { frame: 0.92, plate: 0.98 };

let socket = null;
let modelSize = [1280, 720];  // larger images are scaled down to it before they are sent
let source = null;          // {element, width, height, still, stream, sentFor}
let plate = null;           // {original, scaled, number}
let plateIsAccepted = false;  // by the server
let lastNumber = 0;
let backgroundImage = null;
const inFlight = new Map(); // number of a frame -> when it was sent, and its canvas
const replyTimes = [];
let modelChoice = {};       // the user's choice of model and hint

// ---- WebSocket

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) =>
    typeof data === "string" ? handleMessage(JSON.parse(data)) : handleReply(data);
  socket.onclose = ({ code, reason }) => {
    root.dataset.connection = "closed";
    plateIsAccepted = false;
    inFlight.clear();
    byId("status").textContent = code === 1013 ? "Too many viewers; reconnecting…" :
      reason ? `Closed: ${reason}; reconnecting…` : "No connection; reconnecting…";
    setTimeout(connect, RECONNECT_MS);
  };
}

const isOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;
const sendOptions = (options) => { if (isOpen()) socket.send(JSON.stringify(options)); };

function handleMessage(message) {
  if (message.type === "hello") {
    root.dataset.connection = "open";
    byId("status").textContent = "Connected";
    const models = byId("model");
    const previous = models.value;
    models.replaceChildren(...message.models.map((key) => new Option(key, key)));
    byId("align").disabled = !message.opencv;
    if (message.models.includes(previous) && modelChoice.model) {
      models.value = previous;
      sendOptions(modelChoice);
    }
    if (byId("align").checked || byId("exposure").checked) sendPlateOptions();
    if (plate) sendPlate();
  } else if (message.type === "model") {
    const previous = String(modelSize);
    modelSize = message.size;
    if (plate && previous !== String(modelSize)) sendPlate();
    byId("model").value = message.model;
    byId("hint").value = message.hint;
    byId("about").textContent = `Input size ${modelSize.join("x")}, computed in ${message.executed}. ` +
      (message.weights ? `Weights: ${message.weights}.` : "");
    root.dataset.model = `${message.model} ${message.hint}`;
    showMessage("");
  } else if (message.type === "plate") {
    plateIsAccepted = plate !== null && message.number === plate.number;
    if (plateIsAccepted) root.dataset.plate = String(message.number);
    showMessage("");
    sendFrame();
  } else if (message.type === "advice") {
    const items = message.lines.map((line) => {
      const item = document.createElement("li");
      item.textContent = line.replace("--align", "“Align to the frame”")
        .replace("--match-exposure", "“Match exposure”");
      return item;
    });
    byId("advice").replaceChildren(...items);
    byId("advice").hidden = !items.length;
  } else if (message.type === "error") {
    if (message.number !== undefined) removeInFlight(message.number);
    showMessage(message.message[0].toUpperCase() + message.message.slice(1) + ".");
    if (message.number !== undefined && !(source && source.still)) sendFrame();
  }
}

function showMessage(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

// ---- Frames to the server

function drawScaled(image, canvas = document.createElement("canvas")) {
  const scale = Math.min(1, modelSize[0] / image.width, modelSize[1] / image.height);
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  canvas.getContext("2d").drawImage(image.element, 0, 0, canvas.width, canvas.height);
  return canvas;
}

const encodeJpeg = (canvas, quality) =>
  new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));

async function sendImage(kind, number, canvas, quality) {
  const data = await (await encodeJpeg(canvas, quality)).arrayBuffer();
  const message = new Uint8Array(5 + data.byteLength);
  new DataView(message.buffer).setUint8(0, kind);
  new DataView(message.buffer).setUint32(1, number, true);
  message.set(new Uint8Array(data), 5);
  if (isOpen()) socket.send(message);
}

function sendPlate() {
  const { width, height } = plate.original;
  plate.scaled = drawScaled({ element: plate.original, width, height });
  plate.number = ++lastNumber;
  plateIsAccepted = false;
  return sendImage(PLATE, plate.number, plate.scaled, JPEG_QUALITY.plate);
}

function sourceIsReady() {
  if (!source) return false;
  const { element } = source;
  return !(element instanceof HTMLVideoElement) || element.readyState >= 2;
}

// Sends the newest frame if fewer than MAX_IN_FLIGHT are in flight.
// Called after each reply and at each refresh of the screen.
let isEncoding = false;
async function sendFrame() {
  if (isEncoding || !plateIsAccepted || !isOpen() || !sourceIsReady()) return;
  if (inFlight.size >= MAX_IN_FLIGHT) return;
  if (source.still && source.sentFor === plate.number) return;
  isEncoding = true;
  try {
    const canvas = drawScaled(source);
    source.sentFor = plate.number;
    const number = ++lastNumber;
    inFlight.set(number, { time: performance.now(), canvas });
    await sendImage(FRAME, number, canvas, JPEG_QUALITY.frame);
  } finally {
    isEncoding = false;
  }
}

function refresh() {
  if (sourceIsReady() && !plateIsAccepted) showPreview();
  sendFrame();
  requestAnimationFrame(refresh);
}

function showPreview() {
  drawScaled(source, byId("frame"));
}

// ---- Mattes from the server

// The server dropped all frames before the one it replied to.
function removeInFlight(last) {
  for (const number of inFlight.keys()) if (number <= last) inFlight.delete(number);
}

const decoded = document.createElement("canvas");
const cutout = document.createElement("canvas");

async function handleReply(data) {
  const header = new DataView(data, 0, REPLY_HEADER);
  const number = header.getUint32(0, true);
  const sent = inFlight.get(number);
  removeInFlight(number);
  sendFrame();
  if (!sent) return;
  const image = await createImageBitmap(new Blob([new Uint8Array(data, REPLY_HEADER)]));
  if (root.dataset.shown && Number(root.dataset.shown) > number) return;
  const [width, height] = [image.width, image.height / 2];  // foreground above alpha
  decoded.width = width;
  decoded.height = 2 * height;
  const context = decoded.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const foreground = context.getImageData(0, 0, width, height);
  const alpha = context.getImageData(0, height, width, height);
  for (let i = 0; i < alpha.data.length; i += 4) foreground.data[i + 3] = alpha.data[i];
  for (const [canvas, pixels] of [[cutout, foreground], [byId("alpha"), alpha]]) {
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }
  const frame = byId("frame");
  frame.width = width;
  frame.height = height;
  frame.getContext("2d").drawImage(sent.canvas, 0, 0);
  const now = performance.now();
  replyTimes.push(now);
  showComposite();
  byId("save").disabled = false;
  while (replyTimes.length > 20 || now - replyTimes[0] > 5000) replyTimes.shift();
  const elapsed = now - replyTimes[0];
  byId("rate").textContent = elapsed ? ((replyTimes.length - 1) * 1000 / elapsed).toFixed(1) : "–";
  byId("latency").textContent = `${(now - sent.time).toFixed(0)} ms`;
  byId("inference").textContent = `${header.getFloat32(8, true).toFixed(0)} ms`;
  byId("dropped").textContent = String(header.getUint32(4, true));
  root.dataset.shown = String(number);
  root.dataset.replies = String(Number(root.dataset.replies ?? 0) + 1);
}

const selectedBackground = () => document.querySelector("input[name=background]:checked").value;

function showComposite() {
  if (!replyTimes.length) return;
  const canvas = byId("composite");
  canvas.width = cutout.width;
  canvas.height = cutout.height;
  const context = canvas.getContext("2d");
  const background = selectedBackground();
  if (background === "colour") {
    context.fillStyle = byId("colour").value;
    context.fillRect(0, 0, canvas.width, canvas.height);
  } else if (background === "blur" && plate) {
    context.filter = `blur(${Math.round(canvas.height / 40)}px)`;
    drawCovering(context, plate.scaled);
    context.filter = "none";
  } else if (background === "image" && backgroundImage) {
    drawCovering(context, backgroundImage);
  }
  context.drawImage(cutout, 0, 0);
  root.dataset.background = background;
}

function drawCovering(context, image) {
  const { width, height } = context.canvas;
  const scale = Math.max(width / image.width, height / image.height);
  const [w, h] = [image.width * scale, image.height * scale];
  context.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
}

// ---- Sources

function setSource(next) {
  if (source && source.stream) for (const track of source.stream.getTracks()) track.stop();
  source = next;
  byId("capture").disabled = !next;
  plate = null;
  plateIsAccepted = false;
  inFlight.clear();
  byId("advice").hidden = true;
  delete root.dataset.plate;
  showMessage("");
}

async function startCamera(id) {
  if (!navigator.mediaDevices) {
    showMessage("Browsers allow cameras only on localhost and over HTTPS. Use files instead.");
    return;
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { width: { ideal: 1280 }, height: { ideal: 720 }, ...(id ? { deviceId: id } : {}) },
    });
    const element = await playVideo((video) => { video.srcObject = stream; });
    setSource({ element, width: element.videoWidth, height: element.videoHeight, stream });
    const [track] = stream.getVideoTracks();
    track.onended = () => { setSource(null); showMessage("The camera was disconnected."); };
    const cameras = (await navigator.mediaDevices.enumerateDevices())
      .filter((device) => device.kind === "videoinput");
    byId("cameras").replaceChildren(...cameras.map((device, index) =>
      new Option(device.label || `Camera ${index + 1}`, device.deviceId)));
    byId("cameras").value = track.getSettings().deviceId ?? "";
    byId("cameras").hidden = cameras.length < 2;
    root.dataset.source = "camera";
  } catch (error) {
    root.dataset.source = "none";
    showMessage({
      NotAllowedError: "Camera access was denied. Allow it in the address bar and press “Start camera” again, or use files.",
      NotFoundError: "No camera found. Connect one, or use files.",
      NotReadableError: "The camera is in use by another program.",
    }[error.name] ?? `The camera cannot be used: ${error.message}.`);
  }
}

function playVideo(prepare) {
  const video = document.createElement("video");
  video.muted = video.loop = video.playsInline = true;
  return new Promise((resolve, reject) => {
    video.onloadeddata = () => video.play().then(() => resolve(video), reject);
    video.onerror = () => reject(new Error("the browser cannot play this video"));
    prepare(video);
  });
}

async function openFile(file) {
  if (file.type.startsWith("video/")) {
    const element = await playVideo((video) => { video.src = URL.createObjectURL(file); });
    return { element, width: element.videoWidth, height: element.videoHeight };
  }
  const element = await createImageBitmap(file);
  return { element, width: element.width, height: element.height, still: true };
}

async function useFile(input, use) {
  const [file] = input.files;
  if (!file) return;
  try {
    await use(await openFile(file));
  } catch (error) {
    showMessage(`${file.name} cannot be opened: ${error.message}.`);
  }
}

function setPlate(element, { width, height }) {
  const original = document.createElement("canvas");
  original.width = width;
  original.height = height;
  original.getContext("2d").drawImage(element, 0, 0, width, height);
  plate = { original };
  return sendPlate();
}

async function setPlateFromFile(image) {
  const ratio = image.width * source.height / (image.height * source.width);
  if (Math.abs(ratio - 1) > 0.01) {
    showMessage(`The clean plate is ${image.width}x${image.height}, the frame is ` +
      `${source.width}x${source.height}: take both with the same camera.`);
    return;
  }
  await setPlate(image.element, source);
}

let plateImage = null;      // kept, since its file may be chosen before the frame
byId("frame-file").onchange = ({ target }) => useFile(target, async (image) => {
  setSource(image);
  root.dataset.source = "file";
  showPreview();
  if (plateImage) await setPlateFromFile(plateImage);
});
byId("plate-file").onchange = ({ target }) => useFile(target, async (image) => {
  plateImage = image;
  if (source) await setPlateFromFile(image);
});

byId("camera").onclick = () => startCamera();
byId("cameras").onchange = ({ target }) => startCamera(target.value);
byId("capture").onclick = async () => {
  const button = byId("capture"), label = button.textContent;
  button.disabled = true;
  for (let seconds = Number(byId("delay").value); seconds > 0; seconds--) {
    button.textContent = `Leave the frame… ${seconds}`;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  button.textContent = label;
  button.disabled = !source;
  if (sourceIsReady()) await setPlate(source.element, source);
};

// ---- Options

function sendPlateOptions() {
  sendOptions({ align: byId("align").checked, exposure: byId("exposure").checked });
  if (source) source.sentFor = null;
  sendFrame();
}
byId("align").onchange = byId("exposure").onchange = sendPlateOptions;
byId("model").onchange = byId("hint").onchange = () => {
  modelChoice = { model: byId("model").value, hint: byId("hint").value };
  sendOptions(modelChoice);
  if (source) source.sentFor = null;
};
for (const radio of document.querySelectorAll("input[name=background]")) {
  radio.onchange = showComposite;
}
const selectBackground = (value) => {
  document.querySelector(`input[name=background][value=${value}]`).checked = true;
  showComposite();
};
byId("colour").oninput = () => selectBackground("colour");
byId("image").onchange = ({ target }) => useFile(target, ({ element }) => {
  backgroundImage = element;
  selectBackground("image");
});
byId("save").onclick = () => byId("composite").toBlob((blob) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = "matte.png";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}, "image/png");

connect();
refresh();
