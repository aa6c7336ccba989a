// Files from people: dropped (folders too), pasted or chosen. Knows which of them the browser can show.

const SUFFIX = /\.(jpe?g|png|tiff?)$/i;
const HEAD_BYTES = 65_536;

/** Call `take` with the files of every drop, paste and choice. */
export function listen(zone, inputs, take) {
  for (const input of inputs) {
    input.addEventListener("change", () => {
      take(fromFolders([...input.files]));
      input.value = ""; // the same file may be chosen again
    });
  }
  let depth = 0; // a drag enters every element that it passes over
  const mark = (change) => {
    depth = change ? Math.max(0, depth + change) : 0;
    zone.classList.toggle("dragged-over", depth > 0);
  };
  addEventListener("dragenter", () => mark(1));
  addEventListener("dragleave", () => mark(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    mark(0);
    take(await dropped(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) take(files.map(named));
  });
}

/** Whether the browser would show a file as it is. */
export async function showable(file) {
  const head = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  if (head[0] === 0x89 && head[1] === 0x50) return true; // PNG
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
  // Entries must be asked for before the event ends.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  const files = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  return (await Promise.all(entries.filter(Boolean).map(inside))).flat();
}

async function inside(entry, depth = 0) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return depth === 0 || SUFFIX.test(file.name) ? [file] : [];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break; // it gives a hundred at a time
    found.push(...some);
  }
  found.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  return (await Promise.all(found.map((child) => inside(child, depth + 1)))).flat();
}

/** Of a chosen folder, the images; of chosen files, all: who chose them wants to hear what is wrong. */
const fromFolders = (files) => files.filter((file) => !file.webkitRelativePath || SUFFIX.test(file.name));

let pastes = 0;
/** Browsers call everything pasted image.png. */
const named = (file) =>
  file.name === "image.png" ? new File([file], `pasted-${++pastes}.png`, { type: file.type }) : file;
