// Owns which comparisons with native tools are left to another runtime: most of their time is the tools'.
import process from "node:process";

/** Whether this is Node, which has Deno's engine. */
export const inNode: boolean = process.versions.deno === undefined && process.versions.bun === undefined;
/** The end of the name of a test that Node leaves out, and Bun, which has another engine, does not. */
export const leftInNode: string = inNode ? " (skipped in Node)" : "";

/** Whether this is Node or Bun. */
export const notDeno: boolean = process.versions.deno === undefined;
/** The end of the name of a test that both leave out. */
export const leftToDeno: string = notDeno ? " (skipped but in Deno)" : "";
