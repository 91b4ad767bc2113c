import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * The path of something in the folder of real inputs that may lie beside the project, or undefined where it is missing:
 * a stranger's clone has none, and the tests that need it then skip with a message.
 */
export function sharedPath(relative: string): string | undefined {
  const path = fileURLToPath(new URL(`../../shared/${relative}`, import.meta.url));
  return existsSync(path) ? path : undefined;
}

/** Says in the test's name why it was skipped. */
export function withShared(title: string, path: string | undefined): string {
  return path === undefined ? `${title} (skipped: no ../shared beside the project)` : title;
}
