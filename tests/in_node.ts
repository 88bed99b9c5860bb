// Owns which comparisons are left to the other runtimes: most of their time is the native tools'.
import process from "node:process";

/** Whether this is Node, which has Deno's engine; Bun has another. */
export const inNode: boolean = process.versions.deno === undefined && process.versions.bun === undefined;

/** The end of such a test's name. */
export const leftInNode: string = inNode ? " (skipped in Node)" : "";
