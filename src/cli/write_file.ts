// Owns writing of result files: whole, or not at all.

/** Writes a file beside its place, and puts it there when it is whole. */
export async function writeFile(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  const fs = await import("node:fs");
  const partial = `${path}.partial`;
  const file = fs.openSync(partial, "w");
  let open = true;
  try {
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length;) at += fs.writeSync(file, chunk, at);
    }
    fs.closeSync(file);
    open = false;
    fs.renameSync(partial, path);
  } catch (error) {
    if (open) fs.closeSync(file);
    fs.rmSync(partial, { force: true });
    throw error;
  }
}

/** Finds out whether a file can be written, before work is done for it. @throws {Error} If not. */
export async function checkWritable(path: string): Promise<void> {
  const fs = await import("node:fs");
  fs.closeSync(fs.openSync(`${path}.partial`, "w"));
  fs.rmSync(`${path}.partial`);
}
