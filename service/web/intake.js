// Files from people: dropped (folders too), pasted or chosen. Knows which of them the browser can show.

import { plural } from "./dom.js";

const SUFFIX = /\.(jpe?g|png|webp|jp2|tiff?)$/i; // of a folder's images
const PICTURES = ".jpg,.jpeg,.png,.webp,.jp2,image/jpeg,image/png,image/webp";
const TIFFS = ".tif,.tiff,image/tiff";
const HIDDEN = /^(\..*|__MACOSX)$/; // inside a folder; macOS writes a ._tile.png beside tile.png
const HEAD_BYTES = 65_536;
const PNG_WITH_OPACITY = [4, 6]; // colour types; the model sees the colours behind it

const noImage = { title: "No image in there", detail: "JPEG, PNG, WebP, JPEG 2000 and TIFF files are taken from folders." };

/**
 * Call `take` with the files of every drop, paste and choice, as { file, name }; and `complain` with the problem
 * if some, or all, of them come to nothing.
 */
export function listen(zone, inputs, take, complain) {
  for (const input of inputs) {
    input.addEventListener("change", () => {
      const files = [...input.files].filter(({ webkitRelativePath: path }) => !path || isShown(path));
      if (input.files.length && !files.length) complain(noImage);
      take(files.map(named));
      input.value = ""; // the same file may be chosen again
    });
  }
  let depth = 0; // a drag enters every element that it passes over
  const mark = (change) => {
    depth = change ? Math.max(0, depth + change) : 0;
    zone.classList.toggle("dragged-over", depth > 0);
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => carriesFiles(event) && mark(1));
  addEventListener("dragleave", (event) => carriesFiles(event) && mark(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    mark(0);
    const { files, lost } = await dropped(event.dataTransfer);
    take(files);
    if (lost) complain({ title: `${plural(lost, "file")} could not be read`, detail: "The browser did not get at them." });
    else if (!files.length && carriesFiles(event)) complain(noImage);
  });
  addEventListener("paste", (event) => take([...event.clipboardData.files].map(pasted)));
}

/** Which files a model takes, in words and for a file chooser. */
export function taken({ bands, dtype, sensor }) {
  const colours = bands.every((band) => ["red", "green", "blue"].includes(band));
  if (dtype === "uint8" && colours) {
    return { words: "or paste a picture. JPEG, PNG, WebP, JPEG 2000 or TIFF", accept: `${PICTURES},${TIFFS}` };
  }
  const known = sensor ? `${sensor}, ${plural(bands.length, "band")}` : bands.join(", ");
  return { words: `TIFFs of ${known} of ${dtype}`, accept: TIFFS };
}

/** Whether the browser would show a file as the model sees it. */
export async function showable(file) {
  const head = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  if (head[0] === 0x89 && head[1] === 0x50) return !PNG_WITH_OPACITY.includes(head[25]);
  return head[0] === 0xff && head[1] === 0xd8 && componentsOfJpeg(head) !== 4;
}

/**
 * Browsers take four components for inverted CMYK, as Adobe writes it; Planet's chips are not inverted.
 * Returns 0 where the frame's header is not among the first bytes.
 */
function componentsOfJpeg(head) {
  for (let at = 2; at + 9 < head.length && head[at] === 0xff; ) {
    const marker = head[at + 1];
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) return head[at + 9];
    at += 2 + ((head[at + 2] << 8) | head[at + 3]);
  }
  return 0;
}

async function dropped(transfer) {
  // Both must be asked for before the event ends.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...transfer.files];
  if (!entries.some((entry) => entry.isDirectory)) return { files: files.map(named), lost: 0 };
  const found = (await Promise.all(entries.map((entry) => inside(entry, true)))).flat();
  return { files: found.filter(Boolean), lost: found.filter((one) => one === null).length };
}

/** Whether a path, which begins with the folder that was given, is of an image that people see. */
const isShown = (path) => SUFFIX.test(path) && !path.split("/").slice(1).some((part) => HIDDEN.test(part));

/** The images of an entry, and null for each that cannot be read; of what was dropped itself, any file. */
async function inside(entry, itself = false) {
  if (!itself && HIDDEN.test(entry.name)) return [];
  try {
    if (entry.isFile) {
      if (!itself && !SUFFIX.test(entry.name)) return [];
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      return [{ file, name: withoutFolder(entry.fullPath.slice(1)) }];
    }
    const reader = entry.createReader();
    const children = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) break; // it gives a hundred at a time
      children.push(...some);
    }
    children.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    return (await Promise.all(children.map((child) => inside(child)))).flat();
  } catch {
    return [null];
  }
}

const named = (file) => ({ file, name: withoutFolder(file.webkitRelativePath || file.name) });

/** The name of a file in a folder that was given: only folders inside that one are part of it. */
const withoutFolder = (path) => (path.includes("/") ? path.slice(path.indexOf("/") + 1) : path);

let pastes = 0;
/** Browsers call everything pasted image.png. */
const pasted = (file) => ({ file, name: file.name === "image.png" ? `pasted-${++pastes}.png` : file.name });
