// Owns finding a recording on disk: a directory or a .tar.gz of one.
import type { Host } from "./host.ts";
import { readRecording, type Recording } from "./recording.ts";
import { gunzip, readTar } from "./tar.ts";

/** Reads the recording at `path`. Throws an `Error` that names the path for what is missing or malformed. */
export async function loadRecording(host: Host, path: string): Promise<Recording> {
  try {
    if (host.kind(path) === "directory") {
      return readRecording((name) => {
        // Names come from the recording itself: none may lead out of its directory.
        if (name.startsWith("/") || name.split("/").includes("..")) return undefined;
        return host.kind(`${path}/${name}`) === "file" ? host.readFile(`${path}/${name}`) : undefined;
      });
    }
    const files = readTar(await gunzip(host.readFile(path)));
    return readRecording((name) => files.get(name));
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
  }
}
