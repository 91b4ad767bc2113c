import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    /** Whether dist is what src says: worker threads and the command line run from there. */
    readonly built: boolean;
  }
}

/** Builds dist where it is older than src. Tests that need none run even if it cannot be built. */
export default function setup(project: TestProject): void {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const { status } = spawnSync(process.execPath, ["scripts/setup.mjs"], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  project.provide("built", status === 0);
}
