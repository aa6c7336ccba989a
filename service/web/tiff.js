// How large a TIFF is, and whether it says where it lies, so that a scene is told from a chip.
// Source: TIFF 6.0, section 2; BigTIFF; GeoTIFF 1.1 for the tags of a place. Knows no pixels.

const [WIDTH, HEIGHT] = [256, 257];
const PLACED = [33550, 33922, 34264]; // pixel scale, tie points, transformation
const ENTRIES = 100; // of a directory; they come in the order of their tags
const SHORT = 3;

/** Return a TIFF's { width, height, placed }; null where a file is none that can be read. */
export async function sizeOf(file) {
  const read = async (at, bytes) => new DataView(await file.slice(at, at + bytes).arrayBuffer());
  try {
    return await firstDirectory(read);
  } catch {
    return null; // it ends too early: what is wrong with it the service says
  }
}

async function firstDirectory(read) {
  const head = await read(0, 16);
  const little = head.getUint16(0) === 0x4949;
  const version = head.getUint16(2, little);
  if ((!little && head.getUint16(0) !== 0x4d4d) || (version !== 42 && version !== 43)) return null;
  const big = version === 43;
  const offset = (view, at) => (big ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little));
  const [countBytes, entryBytes, valueAt] = big ? [8, 20, 12] : [2, 12, 8];
  const directory = await read(offset(head, big ? 8 : 4), countBytes + ENTRIES * entryBytes);
  const count = big ? offset(directory, 0) : directory.getUint16(0, little);
  const entries = new Map();
  for (let at = countBytes; entries.size < Math.min(count, ENTRIES); at += entryBytes) {
    const value = directory.getUint16(at + 2, little) === SHORT ? directory.getUint16(at + valueAt, little) : offset(directory, at + valueAt);
    entries.set(directory.getUint16(at, little), value);
  }
  return { width: entries.get(WIDTH), height: entries.get(HEIGHT), placed: PLACED.some((tag) => entries.has(tag)) };
}
