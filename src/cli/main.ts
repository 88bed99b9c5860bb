// Owns the command line's entry point.
import { runCli } from "./cli.ts";
import { openHost } from "./host.ts";

const host = await openHost();
host.exit(await runCli(host));
