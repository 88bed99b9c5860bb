// Owns how the parts of a source path come together: the compilation directory, an include directory, a name.

/** Absolute on POSIX or, because programs are also built there, on Windows: `/a`, `C:\a`, `C:/a`, `\\host\a`. */
const ABSOLUTE = /^(?:\/|[A-Za-z]:[\\/]|\\\\[^\\/]+[\\/])/;

/** Whether `path` is complete, without a directory before it. */
export function isAbsolutePath(path: string): boolean {
  return ABSOLUTE.test(path);
}

/** `path` and `part` with one "/" between them; nothing else is tidied. */
export function appendPath(path: string, part: string): string {
  if (path === "" || part === "") return path + part;
  if (path.endsWith("/")) return path + part.replace(/^\/+/, "");
  return part.startsWith("/") ? path + part : `${path}/${part}`;
}
