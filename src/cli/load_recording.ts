// Owns finding a recording on disk: a directory or a .tar.gz of one.
import { naming } from "./command.ts";
import type { Host } from "./host.ts";
import { readRecording, type Recording } from "./recording.ts";
import { gunzip, readTar } from "../recording/tar.ts";

/** Reads the recording at `path`. Throws an `Error` that names the path for what is missing or malformed. */
export async function loadRecording(host: Host, path: string | URL): Promise<Recording> {
  try {
    if (typeof path === "string" && host.kind(path) === "directory") {
      return readRecording((name) => {
        // Names come from the recording itself: none may lead out of its directory, on no system.
        if (/^[\\/]|:/.test(name) || name.split(/[\\/]/).includes("..")) return undefined;
        return host.kind(`${path}/${name}`) === "file" ? host.readFile(`${path}/${name}`) : undefined;
      });
    }
    const files = readTar(await gunzip(host.readFile(path)));
    return readRecording((name) => files.get(name));
  } catch (error) {
    throw naming(`${path}`, error);
  }
}
